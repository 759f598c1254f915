"""What `pirenderer benchmark` measures on the worker's side, with a network of next to no channels."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from tests.support.limits import IMAGE_LIMITS, SOUND_LIMITS
from worker.benchmark.inputs import PIXELS, large_portrait, long_speech
from worker.benchmark.length import measure_length, tiny_animator
from worker.benchmark.plot import as_svg
from worker.benchmark.table import STAGES, as_markdown
from worker.benchmark.video import measure_video
from worker.media.audio import open_sound
from worker.media.images import read_image
from worker.models import Models
from worker.settings import WorkerSettings

REPORT = {
    "date": "2030-01-02",
    "machine": {
        "processor": "A processor",
        "features": ["avx2"],
        "cores": 2,
        "memory_gib": 8.0,
        "gpu": None,
        "system": "Linux",
        "versions": {"torch": "9"},
    },
    "engines": [
        {
            "renderer": "light",
            "weights": "w <1>",
            "gflop_per_frame": 17.2,
            "gflop_per_frame_as_published": 18.0,
            "size": 256,
            "frames": 8,
            "rounds": 3,
            "engines": [
                _row
                | {"engine": name, "batch_size": batch, "ms_per_frame": ms, "frames_per_second": 1000 / ms}
                | ({"psnr_db": 80.0, "largest_difference": 0.00123} if name != "eager" else {})
                | ({"best": True, "peak_memory_mib": 400, "libraries_mib": 200} if best else {})
                for name, batch, ms, best in (
                    ("eager", 1, 250.0, True),
                    ("fast", 1, 100.0, False),
                    ("fast", 2, 77.0, False),
                    ("fast", 4, 50.0, True),
                )
                for _row in ({"streams": 1, "ratio_to_eager": 250.0 / ms},)
            ],
            "skipped": {"other": "not here"},
        }
    ],
}


@pytest.mark.slow
@pytest.mark.usefixtures("weights", "speech_weights")
def test_a_video_job_is_timed_stage_by_stage() -> None:
    models = Models()
    models.animator = tiny_animator()
    engine = models.animator.engine
    report = measure_video(WorkerSettings(), seconds=1.2, models=models)
    assert set(report["stages_seconds"]) == set(STAGES)
    assert all(seconds >= 0 for seconds in report["stages_seconds"].values())
    assert report["frames"] == 30
    assert report["photo"][0] * report["photo"][1] == pytest.approx(PIXELS, rel=0.01)
    in_turn = ("audio", "decode", "face", "motion", "network", "prior")
    assert sum(report["stages_seconds"][stage] for stage in in_turn) <= report["total_seconds"]
    assert 0 < report["network_alone_seconds"] < report["total_seconds"]
    assert report["around"] == pytest.approx(1 - report["network_alone_seconds"] / report["total_seconds"], abs=1e-3)
    assert 0 < report["network_alone_core_seconds"] < report["total_core_seconds"]
    assert models.animator.engine is engine
    assert "paste back" in as_markdown({**REPORT, "video": report})


@pytest.mark.slow
@pytest.mark.usefixtures("weights", "speech_weights")
def test_memory_of_a_job_does_not_grow_with_its_length() -> None:
    report = measure_length(2.0, 18.0)
    assert (report["short"]["frames"], report["long"]["frames"]) == (50, 450)
    held = (450 - 50) * 256 * 256 * 3 / 2**20  # what the crops between them would take
    assert report["growth_mib"] < held, report  # ten seconds of sound are worked on at once, and buffers fill at first


def test_inputs_are_as_large_and_as_long_as_asked(tmp_path: Path) -> None:
    photo = read_image(large_portrait(tmp_path, 250_000), IMAGE_LIMITS)
    assert photo.shape[0] * photo.shape[1] == pytest.approx(250_000, rel=0.01)
    assert open_sound(long_speech(tmp_path, 15.5), SOUND_LIMITS).seconds == pytest.approx(15.5)


def test_tables_show_each_engine_alone_and_at_its_best() -> None:
    text = as_markdown(REPORT)
    assert "Measured 2030-01-02 on 2 cores of A processor (avx2)" in text
    assert "| fast | 1 | 1 | 100.0 | 10.0 | 2.50 | 80.0 | 0.001 |  |" in text
    assert "| **fast** | 4 | 1 | 50.0 | 20.0 | 5.00 | 80.0 | 0.001 | 400 |" in text
    assert "77.0" not in text
    assert "- other: not here" in text


def test_the_plot_is_well_formed_and_its_bars_are_to_scale() -> None:
    root = ET.fromstring(as_svg(REPORT))
    bars = [float(rect.get("width", 0)) for rect in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars[1] / bars[2] == pytest.approx(0.5, abs=0.01)
    assert bars[0] / bars[2] == pytest.approx(0.2, abs=0.01)


def test_an_unknown_part_and_unknown_weights_are_named() -> None:
    result = CliRunner().invoke(app, ["benchmark", "--part", "songs"])
    assert result.exit_code == 2
    assert "allowed are engines, video, paste, live, start, length" in " ".join(result.output.replace("│", " ").split())
    result = CliRunner().invoke(app, ["benchmark", "--part", "engines", "--renderer", "nobody"])
    assert result.exit_code == 1
    assert "nobody.json" in result.output


@pytest.mark.slow
def test_the_command_writes_its_report(tiny: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in tiny.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("worker.benchmark.paste.FRAMES", 4)
    monkeypatch.setattr("worker.benchmark.live.PICTURES", 4)
    parts = [f"--part={part}" for part in ("start", "paste", "live")]
    result = CliRunner().invoke(app, ["benchmark", *parts, "--json", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told == json.loads((tmp_path / "benchmark.json").read_text())
    for row in told["start"].values():
        assert 0 < row["imported_seconds"] < row["loaded_seconds"] < row["first_image_seconds"]
    assert told["paste"]["photo"] == [1920, 1080]
    assert 500 < told["paste"]["crop_side"] < 700
    assert told["paste"]["frames_per_second"] > 0
    assert [row["size"] for row in told["live"]] == [256, 512]
    for row in told["live"]:
        assert row["pictures"] == 4
        assert 0 < row["alone_ms"]["p50"] <= row["alone_ms"]["p99"]
        assert 0 < row["busy_ms"]["p50"] <= row["busy_ms"]["p99"]
        assert row["pictures_per_second"] > 0
    tables = (tmp_path / "benchmark.md").read_text()
    assert "A worker's start" in tables
    assert "| 512x512 | " in tables
    ET.fromstring((tmp_path / "benchmark.svg").read_text())
