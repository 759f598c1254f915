"""Draw the pictures of docs/images anew, from the packaged samples and the released weights.

python benchmarks/pictures.py results     # docs/images/results.jpg
python benchmarks/pictures.py controls    # docs/images/controls.jpg
python benchmarks/pictures.py crop        # docs/images/crop.jpg
"""

import tempfile
from pathlib import Path
from typing import Any

import typer
from PIL import Image, ImageDraw

from service.commands.sheet import captioned, video_frames
from service.jobs.motions import ControlsMotion
from service.jobs.schemas import ImageOptions, VideoOptions
from worker.jobs import make_image, make_video
from worker.models import Models
from worker.portraits import read_portrait
from worker.settings import WorkerSettings
from worker.workbench import Workbench

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
PORTRAIT, SPEECH = ROOT / "service/samples/portrait.jpg", ROOT / "service/samples/speech.flac"
HEAD, FACE = (80, 0, 450, 370), (166, 116, 374, 324)  # of the sample portrait
POSES: list[dict[str, float]] = [
    {},
    {"yaw": 20},
    {"yaw": -20},
    {"pitch": 10},
    {"roll": 12},
    {"jaw_open": 0.7},
    {"smile": 1},
    {"blink_left": 1, "blink_right": 1},
]
TURN = {"yaw": 20.0, "jaw_open": 0.5}

Cell = tuple[str, Image.Image]
app = typer.Typer(help=__doc__, add_completion=False)


@app.command()
def results(out: Path = IMAGES / "results.jpg", seed: int = 7) -> None:
    """Several poses of the portrait, and the portrait speaking."""
    bench = _bench()
    rows = [[_head(_caption(pose), _posed(bench, pose)) for pose in POSES]]
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "talking-head.mp4"
        make_video(bench, PORTRAIT, video, audio=SPEECH, options=VideoOptions(seed=seed))
        frames = [_head(f"speech, {time:.2f} s", frame) for time, frame in video_frames(video, 16)]
    captioned([*rows, frames[:8], frames[8:]], cell=200, gap=0).save(out, quality=88)


@app.command()
def controls(out: Path = IMAGES / "controls.jpg") -> None:
    """Each control at both ends of its range and half-way there, or at its quarters where it goes one way only."""
    bench = _bench()
    strips = [_strip(bench, control) for control in bench.models.controls.specifications.values()]
    rows = [[*left, *right] for left, right in zip(strips[::2], strips[1::2], strict=True)]
    captioned(rows, cell=128, gap=4).save(out, quality=68)


@app.command()
def crop(out: Path = IMAGES / "crop.jpg") -> None:
    """The portrait with its square, the crop, the crop re-posed, and what becomes of the portrait."""
    bench = _bench()
    subject = read_portrait(bench, PORTRAIT, None)
    square = subject.face.crop
    marked = Image.fromarray(subject.photo)
    corners = (square.x, square.y, square.x + square.side, square.y + square.side)
    ImageDraw.Draw(marked).rectangle(corners, outline=(255, 210, 60), width=4)
    row = [
        ("the photo and the square of its crop", marked),
        ("the crop", Image.fromarray(subject.face.image)),
        (f"the crop, {_caption(TURN)}", _posed(bench, TURN, paste_back=False)),
        ("pasted back", _posed(bench, TURN)),
    ]
    captioned([row], cell=300).save(out, quality=88)


def _strip(bench: Workbench, control: dict[str, Any]) -> list[Cell]:
    """Five values of a control, its neutral one where it belongs."""
    name, low, neutral, high = (control[key] for key in ("name", "minimum", "neutral", "maximum"))
    if low < neutral:
        values = [low, (low + neutral) / 2, neutral, (neutral + high) / 2, high]
    else:
        values = [neutral + share * (high - neutral) for share in (0, 0.25, 0.5, 0.75, 1)]
    part = HEAD if control["group"] == "pose" else FACE
    return [(f"{name} {value:g}", _posed(bench, {name: value}).crop(part)) for value in values]


def _posed(bench: Workbench, pose: dict[str, float], *, paste_back: bool = True) -> Image.Image:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "posed.png"
        motion = ControlsMotion(controls=pose or {"yaw": 0})
        make_image(bench, PORTRAIT, path, motion=motion, options=ImageOptions(paste_back=paste_back))
        return Image.open(path).convert("RGB")


def _head(caption: str, image: Image.Image) -> Cell:
    return caption, image.crop(HEAD)


def _caption(pose: dict[str, float]) -> str:
    return " ".join(f"{name} {value:g}" for name, value in pose.items()) or "own pose"


def _bench() -> Workbench:
    settings = WorkerSettings()
    return Workbench(Models.of(settings), settings)


if __name__ == "__main__":
    app()
