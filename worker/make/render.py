"""Frames out of the renderer, into the photo and into the file: a batch is rendered while the one before is encoded.

Only these two are ever held.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
import torch

from jobs.formats import FORMATS
from model.engines import RenderedFrame
from model.extractor import Extraction
from worker.make.canvas import Canvas
from worker.make.motions import Drive
from worker.make.output import Output
from worker.media.mp4 import mp4_writer
from worker.workbench import Workbench

log = structlog.get_logger(__name__)


def render_video(bench: Workbench, face: Extraction, drive: Drive, canvas: Canvas, output: Path) -> Output:
    """Animate `face` as `drive` says and write an MP4 to `output`.

    When the accelerator's memory does not suffice, it is tried once more with half the batch; then
    torch.OutOfMemoryError passes through.
    """
    batch_size = bench.settings.batch_size
    try:
        return _render(bench, face, drive, canvas, output, batch_size=batch_size)
    except torch.OutOfMemoryError:
        if batch_size == 1:
            raise
        log.warning("accelerator memory exhausted, halving the batch", batch_size=batch_size)
    torch.cuda.empty_cache()
    return _render(bench, face, drive, canvas, output, batch_size=batch_size // 2)


def _render(
    bench: Workbench, face: Extraction, drive: Drive, canvas: Canvas, output: Path, *, batch_size: int
) -> Output:
    stages = bench.stages
    batches = bench.models.animator.animate(face, drive.motion, batch_size=batch_size)
    frames, rendered = len(drive.motion), 0
    stages.report("render", rendered, frames)
    with (
        mp4_writer(output, width=canvas.width, height=canvas.height, fps=drive.fps, sound=drive.sound) as writer,
        ThreadPoolExecutor(1, "encoder") as encoder,
    ):

        def write(batch: Iterable[RenderedFrame]) -> None:
            for animated in batch:
                with stages.timed("paste"):
                    frame = canvas.paste(animated)
                with stages.timed("encode"):
                    writer.write(frame)

        written = encoder.submit(write, ())
        for batch in stages.each("render", batches):
            written.result()  # no more than one batch waits; and an error ends the job
            written = encoder.submit(write, batch)
            rendered += len(batch)
            stages.report("render", rendered, frames)
        written.result()
    return Output(
        FORMATS["mp4"].media_type,
        width=writer.width,
        height=writer.height,
        frames=writer.frames,
        fps=drive.fps,
        duration=round(writer.seconds, 3),
    )
