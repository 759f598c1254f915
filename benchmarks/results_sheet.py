"""Draw docs/images/results.jpg: the packaged portrait under several controls and speaking the packaged speech."""

import tempfile
from pathlib import Path

import typer
from PIL import Image, ImageDraw

from service.commands.sheet import video_frames
from service.jobs.motions import ControlsMotion
from service.jobs.schemas import ImageOptions, VideoOptions
from worker.jobs import make_image, make_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import Workbench

ROOT = Path(__file__).parents[1]
PORTRAIT, SPEECH = ROOT / "service/samples/portrait.jpg", ROOT / "service/samples/speech.flac"
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
CELL, CAPTION = 200, 18
FACE = (80, 0, 450, 370)  # head and shoulders of the sample portrait


def main(out: Path = ROOT / "docs/images/results.jpg", seed: int = 7) -> None:
    """Render everything anew and write the sheet to `out`."""
    bench = Workbench(Models(), WorkerSettings(), Stages(lambda stage, done, total: None))
    cells: list[tuple[str, Image.Image]] = []
    with tempfile.TemporaryDirectory() as folder:
        for pose in POSES:
            path = Path(folder) / "posed.png"
            motion = ControlsMotion(space="open478", controls=pose or {"yaw": 0})
            make_image(bench, PORTRAIT, path, motion=motion, options=ImageOptions())
            caption = " ".join(f"{name} {value:g}" for name, value in pose.items()) or "own pose"
            cells.append((caption, Image.open(path).convert("RGB")))
        video = Path(folder) / "talking-head.mp4"
        make_video(bench, PORTRAIT, video, audio=SPEECH, options=VideoOptions(seed=seed))
        cells += [(f"speech, {time:.2f} s", frame) for time, frame in video_frames(video, 16)]
        sheet = Image.new("RGB", (8 * CELL, len(cells) // 8 * (CELL + CAPTION)), "white")
        draw = ImageDraw.Draw(sheet)
        for number, (caption, image) in enumerate(cells):
            x, y = number % 8 * CELL, number // 8 * (CELL + CAPTION)
            sheet.paste(image.convert("RGB").crop(FACE).resize((CELL, CELL), Image.Resampling.LANCZOS), (x, y))
            draw.text((x + 4, y + CELL + 2), caption, fill="black")
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, quality=88)


if __name__ == "__main__":
    typer.run(main)
