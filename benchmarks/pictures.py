"""Draw the pictures of docs/images anew, from the packaged samples and the released weights.

python benchmarks/pictures.py results     # docs/images/results.jpg
python benchmarks/pictures.py controls    # docs/images/controls.jpg
python benchmarks/pictures.py crop        # docs/images/crop.jpg
python benchmarks/pictures.py speech      # docs/images/speech.jpg
python benchmarks/pictures.py film        # docs/images/talking-head.mp4
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import typer
from PIL import Image, ImageDraw

from jobs.motions import ControlsMotion
from jobs.schemas import ImageOptions, VideoOptions
from model.data.clips import openings
from model.data.speech_clips import read_sound
from model.evaluation.audio.sheet import waveform
from model.face.topology import MOUTH as MOUTH_POINTS
from worker.make.faces import read_portrait
from worker.make.image import make_image
from worker.make.render import make_video
from worker.media.sheet import CAPTION, GROUND, INK, captioned, video_frames
from worker.models import Models
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
BAND, STEP, FPS = 60, 3, 25  # frames of a band of the speech, and from one mouth shown to the next
SAMPLES = 640  # of 16 kHz in a frame
MOUTH, WAVE = 76, 90  # pixels
WIDTH = BAND // STEP * MOUTH
MOUTH_SHARE = 0.22  # half a mouth's picture, of the face's height
ACCENT = (196, 84, 40)
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


@app.command()
def speech(out: Path = IMAGES / "speech.jpg", seed: int = 7) -> None:
    """The mouth under the waveform of what it says, and how far it is seen to open."""
    bench = _bench()
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "talking-head.mp4"
        make_video(bench, PORTRAIT, video, audio=SPEECH, options=VideoOptions(seed=seed))
        frames = [np.asarray(frame) for _, frame in video_frames(video, 100_000)]
    landmarks = np.stack([_landmarks(bench, frame) for frame in frames])
    opening = openings(landmarks)[:, 1]
    bands = -(-len(frames) // BAND)
    heard = np.pad(read_sound(SPEECH), (0, bands * BAND * SAMPLES))[: bands * BAND * SAMPLES]
    sound = waveform(heard, bands * WIDTH, WAVE)
    x, y = (np.arange(len(frames)) + 0.5) * WIDTH / BAND, WAVE - 3 - opening / opening.max() * (WAVE - 6)
    ImageDraw.Draw(sound).line([*zip(x.tolist(), y.tolist(), strict=True)], fill=ACCENT, width=3)
    mouths = [_mouth(frame, points) for frame, points in zip(frames, landmarks, strict=True)]
    sheet = Image.new("RGB", (WIDTH, bands * (WAVE + MOUTH + CAPTION)), GROUND)
    draw = ImageDraw.Draw(sheet)
    for band in range(bands):
        top = band * (WAVE + MOUTH + CAPTION)
        sheet.paste(sound.crop((band * WIDTH, 0, (band + 1) * WIDTH, WAVE)), (0, top))
        for column, number in enumerate(range(band * BAND + STEP // 2, min((band + 1) * BAND, len(frames)), STEP)):
            sheet.paste(mouths[number], (column * MOUTH, top + WAVE))
            draw.text((column * MOUTH + 4, top + WAVE + MOUTH + 4), f"{number / FPS:.2f} s", fill=INK)
    sheet.save(out, quality=88)


@app.command()
def film(out: Path = IMAGES / "talking-head.mp4", seed: int = 7, seconds: float = 5.0) -> None:
    """The portrait saying the first seconds of the speech."""
    samples, rate = soundfile.read(SPEECH, dtype="int16")
    with tempfile.TemporaryDirectory() as folder:
        begun = Path(folder) / "speech.flac"
        soundfile.write(begun, samples[: round(seconds * rate)], rate)
        make_video(_bench(), PORTRAIT, out, audio=begun, options=VideoOptions(seed=seed))


def _landmarks(bench: Workbench, frame: np.ndarray) -> np.ndarray:
    """Landmarks (478, 3) of the face in a frame, in pixels of the frame; depths are left out."""
    found = bench.models.extractor.extract(frame)
    return np.pad(found.crop.points_to_source(found.landmarks[:, :2]), ((0, 0), (0, 1)))


def _mouth(frame: np.ndarray, landmarks: np.ndarray) -> Image.Image:
    middle = landmarks[MOUTH_POINTS, :2].mean(0)
    half = MOUTH_SHARE * np.ptp(landmarks[:, 1])
    left, top, right, bottom = np.rint([*(middle - half), *(middle + half)]).astype(int).tolist()
    return Image.fromarray(frame).crop((left, top, right, bottom)).resize((MOUTH, MOUTH), Image.Resampling.LANCZOS)


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
