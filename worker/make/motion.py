"""The motion of a photo or a video as JSON that is itself a motion; on request with a picture of what was read."""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from jobs.formats import JSON, LONGEST_SIDE, ZIP
from jobs.motions import MOTION_FPS
from jobs.schemas import MotionOptions
from model.arrays import Floats, Pixels
from model.extractor import Crop, Extraction
from worker.decoding import open_sound, open_video
from worker.make.faces import follow_face, from_the_start, read_portrait
from worker.make.output import Output
from worker.media.drawing import Drawing
from worker.media.mp4 import mp4_writer
from worker.media.video import VideoSource
from worker.workbench import Workbench


def extract_motion(
    bench: Workbench, source: Path, output: Path, *, video: bool, options: MotionOptions, overlay: Path | None = None
) -> Output:
    """Write the motion of an image (coefficients) or of a video (frames) to `output`: JSON that is itself a motion.

    What was read is drawn on the image or on each frame of the video and written to `overlay`, if that is given: a PNG,
    or an MP4 with the video's sound.
    """
    read = _read_video if video else _read_image
    document, made = read(bench, source, options, overlay)
    output.write_text(json.dumps(document), encoding="utf-8")
    return made


def extract_archive(bench: Workbench, source: Path, output: Path, *, video: bool, options: MotionOptions) -> Output:
    """The same as a ZIP of `motion.json` and the overlay: `overlay.png`, or `overlay.mp4` for a video."""
    with TemporaryDirectory(dir=output.parent, prefix=".") as folder:
        motion, overlay = Path(folder) / "motion.json", Path(folder) / f"overlay.{'mp4' if video else 'png'}"
        made = extract_motion(bench, source, motion, video=video, options=options, overlay=overlay)
        with zipfile.ZipFile(output, "w") as archive:
            archive.write(motion, motion.name, zipfile.ZIP_DEFLATED)
            archive.write(overlay, overlay.name)  # stored: pictures do not shrink any more
    return replace(made, media_type=ZIP.media_type)


def _read_image(
    bench: Workbench, source: Path, options: MotionOptions, overlay: Path | None
) -> tuple[dict[str, Any], Output]:
    subject = read_portrait(bench, source, options.face, name="image")
    face = subject.face
    document = {
        "space": bench.models.extractor.motion_space,
        "coefficients": _rounded(face.motion),
        "confidence": round(face.confidence, 3),
        "crop": _described(face.crop),
    }
    if overlay is None:
        return document, Output(JSON.media_type)
    height, width = subject.photo.shape[:2]
    drawing = Drawing(bench.models.extractor.morphable, width, height)
    with bench.stages.run("draw"):
        drawn = drawing.draw(subject.photo, face)
    with bench.stages.timed("encode"):
        Image.fromarray(drawn).save(overlay, "PNG", compress_level=4)
    return document, Output(JSON.media_type, width=width, height=height)


def _read_video(
    bench: Workbench, source: Path, options: MotionOptions, overlay: Path | None
) -> tuple[dict[str, Any], Output]:
    video = open_video(source, bench.settings.video_limits, check=bench.stages.check)
    followed = follow_face(bench, video, options.face)
    width: int | None = None
    height: int | None = None
    if overlay is not None:
        first = next(followed)  # there is one, or it has raised
        drawing = _video_drawing(bench, first[0])
        width, height = drawing.width, drawing.height
        followed = _drawn(bench, video, chain([first], followed), drawing, overlay)
    rows: list[list[float]] = []
    confidence: list[float] = []
    shots: list[dict[str, Any]] = []
    missing = 0
    for face in filter(None, from_the_start(face for _, face in followed)):
        if face.shot == len(shots):
            shots.append({"start": len(rows), "crop": _described(face.crop, video.shrinkage)})
        rows.append(_rounded(face.motion))
        confidence.append(round(face.confidence, 3))
        missing += not face.seen
    document = {
        "space": bench.models.extractor.motion_space,
        "fps": MOTION_FPS,
        "frames": rows,
        "confidence": confidence,
        "shots": shots,
    }
    return document, Output(
        JSON.media_type,
        width=width,
        height=height,
        frames=len(rows),
        fps=MOTION_FPS,
        duration=round(len(rows) / MOTION_FPS, 3),
        frames_without_face=missing,
    )


def _video_drawing(bench: Workbench, frame: Pixels) -> Drawing:
    """As large as the video's frames, with even sides and no side longer than most devices play."""
    height, width = frame.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    width, height = (max(2, round(side * scale) // 2 * 2) for side in (width, height))
    return Drawing(bench.models.extractor.morphable, width, height)


def _drawn(
    bench: Workbench,
    video: VideoSource,
    followed: Iterator[tuple[Pixels, Extraction | None]],
    drawing: Drawing,
    overlay: Path,
) -> Iterator[tuple[Pixels, Extraction | None]]:
    """Pass the frames on and write each with its drawing to `overlay`."""
    sound = None
    if video.has_sound:
        sound = open_sound(video.path, bench.settings.audio_limits, name="video's sound", check=bench.stages.check)
    size = {"width": drawing.width, "height": drawing.height}
    with mp4_writer(overlay, **size, fps=MOTION_FPS, sound=sound, synthetic=False) as writer:
        for frame, face in followed:
            with bench.stages.timed("draw"):
                drawn = drawing.draw(frame, face)
            with bench.stages.timed("encode"):
                writer.write(drawn)
            yield frame, face


def _described(crop: Crop, scale: float = 1.0) -> dict[str, float]:
    """A crop in the source's pixels, of which one of the picture that was read is `scale` wide."""
    return {name: round(value, 2) for name, value in asdict(crop.scaled(scale)).items()}


def _rounded(row: Floats) -> list[float]:
    return [round(float(value), 5) for value in row]
