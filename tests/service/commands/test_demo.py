"""The demo, whole, with real models; and its contact sheet."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from service.catalogue import Catalogue
from service.commands.sheet import CELL, GAP, contact_sheet, video_frames
from tests.service.conftest import photo
from tests.support.paths import ROOT


def write_video(path: Path, frames: int) -> None:
    """Frames that grow lighter, one level of grey per frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            picture = np.full((64, 64, 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_frames_are_spread_over_the_whole_video(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", 25)
    frames = video_frames(tmp_path / "v.mp4", 5)
    assert [round(time * 25) for time, _ in frames] == [0, 6, 12, 18, 24]
    assert [round(np.asarray(image).mean() / 8) for _, image in frames] == [0, 6, 12, 18, 24]


def test_the_sheet_shows_before_after_and_the_video(tmp_path: Path) -> None:
    (tmp_path / "before.jpg").write_bytes(photo(320, 200))
    Image.new("RGB", (200, 200), (0, 0, 255)).save(tmp_path / "after.png")
    write_video(tmp_path / "v.mp4", 10)
    sheet = contact_sheet(tmp_path / "before.jpg", tmp_path / "after.png", "yaw 20", tmp_path / "v.mp4")
    assert sheet.getpixel((GAP + CELL + GAP + CELL // 2, GAP + CELL // 2)) == (0, 0, 255)
    row = np.asarray(sheet.convert("L"))[sheet.height - CELL // 2]
    lightness = [int(row[GAP + index * (CELL + GAP) + CELL // 2]) for index in range(5)]
    assert lightness == sorted(lightness)
    assert len(set(lightness)) == 5


@pytest.mark.slow
def test_the_demo_poses_and_speaks(tmp_path: Path) -> None:
    if missing := Catalogue.read(None).missing(["morphable", "extractor", "skinning", "renderer", "audio"]):
        pytest.skip(f"no weights of {', '.join(missing)}")
    command = [sys.executable, "-m", "service.cli", "demo", "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    image, video = (summary["jobs"][name] for name in ("image", "video"))
    assert image["status"] == video["status"] == "succeeded"
    assert image["timings"]
    assert video["timings"]
    with Image.open(summary["paths"]["image"]) as posed, Image.open(ROOT / "service/samples/portrait.jpg") as before:
        assert posed.size == before.size
        assert np.abs(np.asarray(posed, float) - np.asarray(before.convert("RGB"), float)).max() > 32
    with av.open(summary["paths"]["video"]) as container:
        seconds = float(container.duration or 0) / av.time_base
        assert {stream.codec_context.name for stream in container.streams} == {"h264", "aac"}
    with av.open(str(ROOT / "service/samples/speech.flac")) as container:
        assert seconds == pytest.approx(float(container.duration or 0) / av.time_base, abs=0.08)
    assert Path(summary["paths"]["sheet"]).stat().st_size > 10_000
