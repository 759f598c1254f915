"""The commands of the worker side."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner, Result

from model.morphable.basis import MOTION_SPACE
from model.weights import RENDERER
from model.weights.files import released_weights
from service.cli import app
from worker.benchmark.inputs import long_speech
from worker.media.mp4 import mp4_writer


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def _keeps_data_there(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_DATA_DIR", str(data_dir))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "at least one of --audio, --driving, and either --control or --motion, is needed, got none"),
        (["--control", "yaw=5", "--motion", "MOTION", "--audio", "PORTRAIT"], "got --control, --motion, --audio"),
        (["--control", "yaw=5", "--driving", "PORTRAIT"], "image/jpeg; allowed beside --control is a video (MP4"),
        (["--audio", "PORTRAIT", "--driving", "PORTRAIT"], "image/jpeg; allowed beside --audio is a video (MP4"),
        (["--control", "yaw=5", "--audio", "PORTRAIT"], "'a.png'; allowed is .mp4"),
        (["--control", "yaw"], "'yaw' is not NAME=VALUE"),
        (["--control", "yaw=1", "--control", "yaw=2"], "yaw is given twice"),
        (["--control", "yaw=left"], "controls.yaw"),
        (["--control", "yaw=5", "--option", "colour=red"], "colour"),
        (["--control", "yaw=5", "-o", "a.gif"], "'a.gif'; allowed is .png, .jpg, .jpeg, .webp"),
        (["--control", "yaw=5", "-o", "/"], "'/'; allowed is .png, .jpg, .jpeg, .webp"),
        (["--control", "yaw=5", "-o", "a.mp4"], "'a.mp4'; allowed is .png, .jpg, .jpeg, .webp"),
        (["--control", "yaw=5", "-o", "a.jpg", "--option", "format=webp"], "format=webp for 'a.jpg'; allowed is jpeg"),
        (["--control", "yaw=5", "-o", "PORTRAIT/a.png"], "cannot be written: its folder is a file"),
        (["--driving", "MOTION"], "it looks like application/json; allowed is an image (JPEG"),
        (["--audio", "PORTRAIT", "-o", "a.png"], "allowed is .mp4, .webm, .gif, .webp"),
    ],
)
def test_what_render_cannot_do_is_said_before_anything_is_loaded(
    portrait: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    motion = tmp_path / "motion.json"
    motion.write_text("{}")
    names = {"PORTRAIT": str(portrait), "MOTION": str(motion)}
    given = [names.get(argument, argument.replace("PORTRAIT/", f"{portrait}/")) for argument in arguments]
    result = run("render", portrait, *(() if "-o" in given else ("-o", "a.png")), *given)
    assert result.exit_code == 2
    assert text in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("command", ["worker", "render", "benchmark"])
def test_a_setting_that_is_not_allowed_ends_a_command_in_one_line(
    command: str, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIRENDERER_BATCH_SIZE", "0")
    more: list[str | Path] = [portrait, "--control", "yaw=5", "-o", tmp_path / "a.png"] if command == "render" else []
    result = run(command, *more)
    assert result.exit_code == 2
    assert result.stderr == "error: PIRENDERER_BATCH_SIZE: Input should be greater than 0, got '0'\n"


def test_a_wrong_control_is_named_before_weights_are_read(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIRENDERER_WEIGHTS_DIR", str(tmp_path))
    for name in (RENDERER, MOTION_SPACE):
        shutil.copy(released_weights() / f"{name}.json", tmp_path)
    output = tmp_path / "a.png"
    result = run("render", portrait, "--control", "yaw=99", "-o", output)
    assert result.exit_code == 1
    assert "error: motion.controls.yaw is 99; allowed is -45 to 45 degrees\n" in result.output
    assert not output.exists()


@pytest.mark.parametrize(
    ("motion", "text"),
    [
        ('{"controls": {"yaw": "left"}}', "controls.yaw: Input should be a valid number"),
        ('{"controls": {"yaw": 1}', "Invalid JSON: EOF while parsing an object"),
    ],
)
def test_a_motion_file_is_read_after_its_byte_order_mark(
    portrait: Path, tmp_path: Path, motion: str, text: str
) -> None:
    path = tmp_path / "motion.json"
    path.write_text(motion, encoding="utf-8-sig")
    result = run("render", portrait, "--motion", path, "-o", "a.png")
    assert result.exit_code == 2
    assert text in " ".join(result.output.replace("│", " ").split())


def test_an_unknown_queue_is_refused() -> None:
    result = run("worker", "--queues", "images,songs")
    assert result.exit_code == 2
    assert "songs" in result.output
    assert "motions" in result.output


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_render_an_image(portrait: Path, tmp_path: Path) -> None:
    output = tmp_path / "deeper" / "out.jpg"
    result = run("render", portrait, "--control", "yaw=20", "--control", "smile=0.5", "-o", output, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    with Image.open(output) as image, Image.open(portrait) as photo:
        assert image.format == "JPEG"
        assert image.size == photo.size
        assert told["result"] == {"media_type": "image/jpeg", "width": photo.width, "height": photo.height}
    assert {"load", "decode", "face", "motion", "render", "encode"} <= set(told["timings"])
    assert [path.name for path in output.parent.iterdir()] == ["out.jpg"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--overlay", "a.mp4"], "'a.mp4'; allowed is .png"),
        (["--overlay", "PORTRAIT/a.png"], "cannot be written: its folder is a file"),
        (["-o", "a.png", "--overlay", "./a.png"], "'a.png' is --output as well"),
        (["--option", "overlay=true"], "--overlay names its file"),
        (["--option", "face=-1"], "face"),
    ],
)
def test_what_extract_cannot_do_is_said_before_anything_is_loaded(
    portrait: Path, arguments: list[str], text: str
) -> None:
    given = [argument.replace("PORTRAIT", str(portrait)) for argument in arguments]
    result = run("extract", portrait, "-o", "a.json", *given)
    assert result.exit_code == 2
    assert text in " ".join(result.output.replace("│", " ").split())


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_extract_and_render_what_was_extracted(portrait: Path, tmp_path: Path, data_dir: Path) -> None:
    motion, again = tmp_path / "motion.json", tmp_path / "again.png"
    assert run("extract", portrait, "-o", motion).exit_code == 0
    assert list((data_dir / "engine-cache").iterdir())  # the next command need not compile
    assert run("render", portrait, "--motion", motion, "-o", again).exit_code == 0
    with Image.open(again) as image, Image.open(portrait) as photo:
        difference = np.asarray(image).astype(int) - np.asarray(photo.convert("RGB"))
        assert np.abs(difference).mean() < 6  # its own motion leaves a photo nearly as it was
    coefficients = json.loads(motion.read_text())["coefficients"]
    assert len(coefficients) == 70
    sequence = {"space": "open478", "fps": 25, "frames": [coefficients] * 6}
    motion.write_text(json.dumps(sequence))
    output = tmp_path / "out.mp4"
    result = run("render", portrait, "--motion", motion, "-o", output, "--option", "paste_back=false")
    assert result.exit_code == 0, result.output
    assert "6 frames at 25 fps" in result.output
    with av.open(str(output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_extract_a_video_and_draw_it(portrait: Path, tmp_path: Path) -> None:
    filmed, motion, overlay = tmp_path / "filmed.mp4", tmp_path / "motion.json", tmp_path / "deeper" / "overlay.mp4"
    with Image.open(portrait) as photo, mp4_writer(filmed, width=510, height=600, fps=30) as writer:
        for step in range(12):
            writer.write(np.asarray(photo.convert("RGB").rotate(step)))
        elsewhere = Image.new("RGB", photo.size, (150, 120, 90))  # a cut
        elsewhere.paste(ImageOps.mirror(photo).resize((340, 400)), (20, 150))
        for _ in range(12):
            writer.write(np.asarray(elsewhere))
    result = run("extract", filmed, "-o", motion, "--overlay", overlay, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["result"] == {
        "media_type": "application/json", "width": 510, "height": 600, "frames": 20, "fps": 25.0, "duration": 0.8,
        "frames_without_face": 0,
    }  # fmt: skip
    assert [path.name for path in overlay.parent.iterdir()] == ["overlay.mp4"]
    with av.open(str(overlay)) as container:
        drawn = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    told = json.loads(motion.read_text())
    assert len(drawn) == len(told["frames"]) == len(told["confidence"]) == 20
    assert [shot["start"] for shot in told["shots"]] == [0, 10]
    assert told["shots"][1]["crop"]["side"] < 0.8 * told["shots"][0]["crop"]["side"]
    assert told["frames"][0][66] - told["frames"][9][66] == pytest.approx(np.radians(11), abs=np.radians(3))
    x, y, side = (told["shots"][0]["crop"][name] for name in ("x", "y", "side"))
    edge = np.abs(drawn[5][round(y) + 3 : round(y + side) - 3, round(x)] - (255, 210, 60)).max(axis=1)
    assert np.median(edge) < 60  # the square's left side


@pytest.mark.slow
@pytest.mark.usefixtures("speech_weights")
def test_a_portrait_smiles_while_it_speaks(
    portrait: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in tiny.items():
        monkeypatch.setenv(name, value)
    sound, output = long_speech(tmp_path, 0.8), tmp_path / "out.mp4"
    by = ("--audio", sound, "--control", "smile=0.6", "--option", "paste_back=false")
    result = run("render", portrait, *by, "-o", output, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["result"]["frames"] == 20
    motion = tmp_path / "frames.json"
    motion.write_text(json.dumps({"space": "open478", "frames": [[0.0] * 70]}))
    refused = run("render", portrait, "--driving", output, "--motion", motion, "-o", tmp_path / "none.mp4")
    assert refused.exit_code == 1
    assert "needs a motion of controls or keyframes, got frames" in refused.output
    assert not (tmp_path / "none.mp4").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_bad_input_ends_with_its_text(portrait: Path, tmp_path: Path) -> None:
    sound = tmp_path / "speech.wav"
    sound.write_text("la la la")
    result = run("render", portrait, "--audio", sound, "-o", tmp_path / "out.mp4")
    assert result.exit_code == 1
    assert "is not a sound file" in result.output
    assert not (tmp_path / "out.mp4").exists()
