"""Frames out of the renderer, into the photo and into the file: a batch is rendered while the one before is encoded.

Only these two are ever held.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from jobs.formats import FORMATS
from model.engines import RenderedFrame
from model.extractor import Extraction
from model.renderer.prior.reach import Reach
from worker.make.canvas import Canvas
from worker.media.audio import Sound
from worker.media.mp4 import mp4_writer
from worker.workbench import Workbench

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Clamped:
    """How many frames or images were turned less than asked, and how far the portrait can be turned."""

    count: int
    reach: Reach


@dataclass(frozen=True)
class Made:
    """What a job has written. Sizes in pixels, `duration` in seconds; `frames_without_face` are a read video's.

    `clamped` is None where nothing was turned less than asked.
    """

    media_type: str
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    fps: float | None = None
    duration: float | None = None
    images: int | None = None
    frames_without_face: int | None = None
    clamped: Clamped | None = None


def render_video(
    bench: Workbench,
    face: Extraction,
    sequence: NDArray[np.float32],
    canvas: Canvas,
    output: Path,
    *,
    fps: float,
    sound: Sound | None,
) -> Made:
    """Animate `face` by the motion `sequence` (T, D) at `fps` and write an MP4 with `sound` to `output`.

    When the accelerator's memory does not suffice, it is tried once more with half the batch; then
    torch.OutOfMemoryError passes through.
    """
    batch_size = bench.settings.batch_size
    try:
        return _render(bench, face, sequence, canvas, output, fps=fps, sound=sound, batch_size=batch_size)
    except torch.OutOfMemoryError:
        if batch_size == 1:
            raise
        log.warning("accelerator memory exhausted, halving the batch", batch_size=batch_size)
    torch.cuda.empty_cache()
    return _render(bench, face, sequence, canvas, output, fps=fps, sound=sound, batch_size=batch_size // 2)


def _render(
    bench: Workbench,
    face: Extraction,
    sequence: NDArray[np.float32],
    canvas: Canvas,
    output: Path,
    *,
    fps: float,
    sound: Sound | None,
    batch_size: int,
) -> Made:
    stages = bench.stages
    batches = bench.models.animator.animate(face, sequence, batch_size=batch_size)
    rendered = 0
    stages.report("render", rendered, len(sequence))
    with (
        mp4_writer(output, width=canvas.width, height=canvas.height, fps=fps, sound=sound) as writer,
        ThreadPoolExecutor(1, "encoder") as encoder,
    ):

        def write(batch: Iterable[RenderedFrame]) -> None:
            for animated in batch:
                with stages.timed("paste"):
                    frame = canvas.compose(animated)
                with stages.timed("encode"):
                    writer.write(frame)

        written = encoder.submit(write, ())
        for batch in stages.each("render", batches):
            written.result()  # no more than one batch waits; and an error ends the job
            written = encoder.submit(write, batch)
            rendered += len(batch)
            stages.report("render", rendered, len(sequence))
        written.result()
    return Made(
        FORMATS["mp4"].media_type,
        width=writer.width,
        height=writer.height,
        frames=writer.frames,
        fps=fps,
        duration=round(writer.seconds, 3),
    )
