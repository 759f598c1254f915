"""Segments out of the renderer, into the photo and into a file: a batch is rendered while the one before is encoded.

Only these two are ever held. A whole video is its segments one after the other, joined.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
import torch

from jobs.motions import Motion
from jobs.schemas import VideoOptions
from model.animation.animator import ahead
from model.engines import RenderedFrame
from worker.make.output import Output, check_size, clamped
from worker.make.plan import Head, Segment, Totals, plan_video
from worker.make.sitter import Sitter
from worker.media.gif import write_gif
from worker.media.stream import Encoded, Fragments, StreamFormat, fragment_writer, join_fragments, write_init
from worker.media.webm import write_webm
from worker.media.webp import write_webp
from worker.workbench import Workbench

log = structlog.get_logger(__name__)

ENCODERS = {"webm": write_webm, "gif": write_gif, "webp": write_webp}  # of what the fragments are not in
PASTERS = 2  # threads: when a segment begins and ends, a core would only wait


def render_segment(
    bench: Workbench,
    sitter: Sitter,
    segment: Segment,
    path: Path,
    *,
    form: StreamFormat,
    report: Callable[[int], None],
) -> int:
    """Render the frames of a segment and write them to `path` as a fragment; returns how many they are.

    `report` is told how many are rendered so far; it may raise to stop. When the accelerator's memory does not suffice,
    it is tried once more with half the batch; then torch.OutOfMemoryError passes through.
    """
    batch_size = bench.settings.batch_size
    try:
        return _render(bench, sitter, segment, path, form=form, report=report, batch_size=batch_size)
    except torch.OutOfMemoryError:
        if batch_size == 1:
            raise
        log.warning("accelerator memory exhausted, halving the batch", batch_size=batch_size)
    torch.cuda.empty_cache()
    return _render(bench, sitter, segment, path, form=form, report=report, batch_size=batch_size // 2)


def _render(
    bench: Workbench,
    sitter: Sitter,
    segment: Segment,
    path: Path,
    *,
    form: StreamFormat,
    report: Callable[[int], None],
    batch_size: int,
) -> int:
    stages, rendered = bench.stages, 0
    with stages.timed("render"):
        prepared = sitter.prepared
    batches = bench.models.animator.animate(prepared, segment.motion, batch_size=batch_size, frames=segment.own)
    report(rendered)
    with (
        fragment_writer(path, form, first_frame=segment.first, sound=segment.sound) as writer,
        ThreadPoolExecutor(1, "encoder") as encoder,
    ):

        def write(batch: Iterable[RenderedFrame]) -> None:
            pasting = (partial(sitter.canvas.paste, animated) for animated in batch)
            for frame in stages.each("paste", ahead(_pasters(), pasting, many=PASTERS)):
                with stages.timed("encode"):
                    writer.write(frame)

        written = encoder.submit(write, ())
        for batch in stages.each("render", batches):
            written.result()  # no more than one batch waits; and an error ends the job
            written = encoder.submit(write, batch)
            rendered += len(batch)
            report(rendered)
        written.result()
    return rendered


@cache
def _pasters() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(PASTERS, "paster")


def join_video(
    bench: Workbench,
    head: Head,
    fragments: Sequence[Path],
    output: Path,
    *,
    init: Path,
    totals: Totals,
    options: VideoOptions,
) -> Output:
    """Make one file of the fragments of a video, in order, and sign it where there is a certificate.

    Raises ProblemError: it has more bytes than it may.
    """
    video = Fragments(init, fragments, head.form, totals.frames)
    with bench.stages.timed("encode"):
        encoded = _encoded(bench, video, output, options)
    made = Output(
        options.result_format.media_type,
        width=head.form.width,
        height=head.form.height,
        frames=encoded.frames,
        fps=float(encoded.fps),
        duration=round(float(totals.frames / head.form.fps), 3),
        frames_without_face=totals.frames_without_face,
        clamped=clamped(head.face, totals.clamped),
    )
    if bench.credentials is not None:
        with bench.stages.run("sign"):
            bench.credentials.sign_file(output, made.media_type, composite=options.paste_back)
    return made


def _encoded(bench: Workbench, video: Fragments, output: Path, options: VideoOptions) -> Encoded:
    if options.format == "mp4":
        join_fragments(video, output)
        return Encoded(video.frames, video.form.fps)

    def reached(done: int) -> None:
        bench.stages.report("encode", done, video.frames)
        if done:
            most = bench.settings.max_archive_bytes
            check_size(output, most, f"the first {done} frames", "a smaller size, fewer frames a second or mp4")

    def told(done: int) -> None:
        if done % bench.settings.batch_size == 0:
            reached(done)

    encoded = ENCODERS[options.format](video, output, told)
    reached(video.frames)  # what was not yet written when the last frames were told of
    return encoded


def make_video(
    bench: Workbench,
    portrait: Path,
    output: Path,
    *,
    audio: Path | None = None,
    motion: Motion | None = None,
    driving: Path | None = None,
    options: VideoOptions,
) -> Output:
    """Plan a video as `plan_video` does, render it, and write it to `output`: what workers share, in one process.

    Raises jobs.problems.ProblemError for what the user can mend and model.errors.ModelError from the models. Whatever
    the report of the bench's stages raises passes through, which is how a job is stopped.
    """
    plan = plan_video(bench, portrait, audio=audio, motion=motion, driving=driving, options=options)
    with TemporaryDirectory(dir=output.parent, prefix=".") as folder:
        init, fragments, done = Path(folder) / "init.mp4", list[Path](), 0
        write_init(init, plan.head.form)
        for segment in filter(None, plan):
            before = done

            def report(rendered: int, before: int = before) -> None:
                bench.stages.report("render", before + rendered, plan.frames)

            fragments.append(Path(folder) / f"{segment.index}.m4s")
            done += render_segment(bench, plan.sitter, segment, fragments[-1], form=plan.head.form, report=report)
        assert plan.totals is not None  # noqa: S101 - all is planned
        return join_video(bench, plan.head, fragments, output, init=init, totals=plan.totals, options=options)
