"""Segments are rendered each by itself, and joined to the same video wherever and in whatever order that was done.

That the accelerator's memory runs out no test machine can be made to do.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch

from jobs.formats import VideoFormat
from jobs.motions import Keyframe, KeyframesMotion
from jobs.problems import ProblemError, ProblemType
from jobs.schemas import VideoOptions
from model.engines import RenderedFrame, RenderedFrames
from tests.support.streams import stream
from tests.worker.media.test_stream import moving
from worker.benchmark.inputs import long_speech
from worker.make.canvas import Canvas
from worker.make.faces import read_portrait
from worker.make.output import Output
from worker.make.plan import Head, Segment, Totals, plan_video
from worker.make.render import join_video, make_video, render_segment
from worker.make.sitter import Sitter
from worker.media.stream import Fragments, StreamFormat, join_fragments, write_init
from worker.models import Models
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import Workbench


class SmallMemory:
    """An animator with memory for `room` frames at once; the frame's grey is its motion's first number."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.batches: list[int] = []

    def prepare(self, face: None) -> None:
        return None

    def animate(
        self, portrait: None, motions: np.ndarray, *, batch_size: int, frames: range
    ) -> Iterator[RenderedFrames]:
        for start in range(frames.start, frames.stop, batch_size):
            batch = motions[start : min(start + batch_size, frames.stop)]
            self.batches.append(len(batch))
            if len(batch) > self.room and start > frames.start:  # the first batch may still find room
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield RenderedFrames(np.stack([np.full((256, 256, 3), value, np.uint8) for value in batch[:, 0]]))


class Shrinks:
    """Shows the animated crop at a quarter of its sides."""

    width = height = 64

    def paste(self, animated: RenderedFrame) -> np.ndarray:
        return animated.image[::4, ::4]


@dataclass(frozen=True)
class OneModel:
    animator: SmallMemory


FORM = StreamFormat(64, 64, Fraction(25))


def fragment(bench: Workbench, canvas: Canvas, output: Path, told: list[int]) -> int:
    """Render the second segment of a video, 24 frames of rising grey; `output` is then a video of it alone."""
    motions = np.zeros((50, 70), np.float32)
    motions[13:37] = np.linspace(30, 220, 24, dtype=np.float32)[:, None]
    sitter = SimpleNamespace(face=None, canvas=canvas, prepared=None)
    segment = Segment(1, 12, motions, range(13, 37), last=False)
    part, init = output.with_suffix(".m4s"), output.with_suffix(".init")
    frames = render_segment(bench, sitter, segment, part, form=FORM, report=told.append)  # type: ignore[arg-type]
    write_init(init, FORM)
    join_fragments(Fragments(init, [part], FORM, frames), output)
    return frames


def render(room: int, output: Path) -> tuple[SmallMemory, list[int]]:
    told: list[int] = []
    animator = SmallMemory(room)
    bench = Workbench(OneModel(animator), WorkerSettings(batch_size=10))  # type: ignore[arg-type]
    assert fragment(bench, Shrinks(), output, told) == 24
    return animator, told


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)])


def greys(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video=0)]


def test_with_room_every_batch_is_rendered_once_and_reported(tmp_path: Path) -> None:
    animator, told = render(10, tmp_path / "a.mp4")
    assert animator.batches == [10, 10, 4]
    assert told == [0, 10, 20, 24]
    assert greys(tmp_path / "a.mp4") == pytest.approx(np.linspace(30, 220, 24), abs=2)


def test_without_room_the_batch_is_halved_and_the_segment_is_whole(tmp_path: Path) -> None:
    animator, told = render(5, tmp_path / "a.mp4")
    assert animator.batches == [10, 10, 5, 5, 5, 5, 4]
    assert told == [0, 10, 0, 5, 10, 15, 20, 24]
    assert greys(tmp_path / "a.mp4") == pytest.approx(np.linspace(30, 220, 24), abs=2)


def test_it_is_halved_only_once(tmp_path: Path) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        render(4, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


class Recording(Shrinks):
    """Counts how many batches have been begun by the animator when each frame is pasted."""

    def __init__(self, animator: SmallMemory, fails_at: int | None = None) -> None:
        self.animator = animator
        self.fails_at = fails_at
        self.threads: set[int] = set()
        self.begun: list[int] = []
        self._numbers = count()

    def paste(self, animated: RenderedFrame) -> np.ndarray:
        if next(self._numbers) == self.fails_at:
            raise ValueError("this frame cannot be pasted")
        time.sleep(0.01)  # slower than the animator
        self.threads.add(threading.get_ident())
        self.begun.append(len(self.animator.batches))
        return super().paste(animated)


def render_with(canvas: Recording, output: Path) -> None:
    bench = Workbench(OneModel(canvas.animator), WorkerSettings(batch_size=5))  # type: ignore[arg-type]
    fragment(bench, canvas, output, [])


def test_the_next_batch_is_rendered_while_one_is_encoded_and_none_beyond(tmp_path: Path) -> None:
    canvas = Recording(SmallMemory(8))
    render_with(canvas, tmp_path / "a.mp4")
    last_of_each = [*canvas.begun[4::5], canvas.begun[-1]]
    assert last_of_each == [2, 3, 4, 5, 5]
    assert threading.get_ident() not in canvas.threads


def test_an_error_while_encoding_ends_the_job(tmp_path: Path) -> None:
    canvas = Recording(SmallMemory(8), fails_at=6)
    with pytest.raises(ValueError, match="cannot be pasted"):
        render_with(canvas, tmp_path / "a.mp4")
    assert len(canvas.animator.batches) <= 3
    assert not list(tmp_path.iterdir())


SWAY = KeyframesMotion(
    keyframes=[
        Keyframe(t=t, controls={"yaw": yaw, "jaw_open": jaw})
        for t, yaw, jaw in ((0, 0, 0), (0.5, 15, 1), (1.2, -12, 0.2), (1.8, 5, 0.7))
    ]
)


@cache
def tiny_bench(weights: Path) -> Workbench:
    settings = WorkerSettings(weights_dir=weights, engine="torch")
    return Workbench(Models.of(settings), settings)


def render_parts(folder: Path, weights: Path, portrait: Path, options: VideoOptions, numbers: list[int]) -> None:
    """What a worker does that has not planned the video."""
    bench, head = tiny_bench(weights), Head.load(folder / "head")
    sitter = Sitter(bench, read_portrait(bench, portrait, None, face=head.face), options)
    for number in numbers:
        segment = Segment.load(folder / f"{number}.segment")
        render_segment(bench, sitter, segment, folder / f"{number}.m4s", form=head.form, report=lambda done: None)


@pytest.fixture(scope="module")
def other() -> Iterator[ProcessPoolExecutor]:
    """A process beside this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.usefixtures("speech_weights")
@pytest.mark.parametrize("options", [VideoOptions(seed=3), VideoOptions(paste_back=False, fps=30, label=True)])
def test_a_video_is_the_same_whoever_renders_its_segments(
    tiny: dict[str, str], portrait: Path, tmp_path: Path, options: VideoOptions, other: ProcessPoolExecutor
) -> None:
    weights = Path(tiny["PIRENDERER_WEIGHTS_DIR"])
    bench = tiny_bench(weights)
    by: dict[str, Any] = {"motion": SWAY} if options.seed is None else {"audio": long_speech(tmp_path, 1.8)}
    plan = plan_video(bench, portrait, **by, options=options)
    plan.head.save(tmp_path / "head")
    segments = [segment for segment in plan if segment is not None]
    for segment in segments:
        segment.save(tmp_path / f"{segment.index}.segment")
    other.submit(render_parts, tmp_path, weights, portrait, options, [2, 0]).result()
    render_parts(tmp_path, weights, portrait, options, [1])
    write_init(tmp_path / "init", plan.head.form)
    assert plan.totals is not None
    made = join_video(
        bench,
        plan.head,
        [tmp_path / f"{segment.index}.m4s" for segment in segments],
        tmp_path / "shared.mp4",
        init=tmp_path / "init",
        totals=plan.totals,
        options=options,
    )
    alone = make_video(bench, portrait, tmp_path / "alone.mp4", **by, options=options)
    assert alone == made
    assert made.frames == len(pictures(tmp_path / "alone.mp4")) == (45 if options.fps is None else 55)
    np.testing.assert_array_equal(pictures(tmp_path / "shared.mp4"), pictures(tmp_path / "alone.mp4"))
    assert (tmp_path / "shared.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()


def join(folder: Path, name: VideoFormat, stages: Stages, **limits: int) -> Output:
    """Join a video of 40 frames in a format."""
    made = stream(folder, moving(40))
    settings = WorkerSettings(batch_size=8, **limits)  # type: ignore[arg-type]
    return join_video(
        Workbench(SimpleNamespace(), settings, stages),  # type: ignore[arg-type]
        SimpleNamespace(form=made.form, face=None),  # type: ignore[arg-type]
        made.fragments,
        folder / "out",
        init=made.init,
        totals=Totals(40, 0, None),
        options=VideoOptions(format=name),
    )


ENCODED: dict[VideoFormat, str] = {"webm": "video/webm", "gif": "image/gif", "webp": "image/webp"}


@pytest.mark.parametrize("name", ENCODED)
def test_a_video_that_is_encoded_anew_says_how_far_it_is(tmp_path: Path, name: VideoFormat) -> None:
    told: list[tuple[str, int, int | None]] = []
    made = join(tmp_path, name, Stages(lambda *report: told.append(report)))
    assert made == Output(ENCODED[name], width=64, height=48, frames=40, fps=25, duration=1.6)
    assert [report for report in told if report[1]] == [
        ("encode", done, 40) for done in (8, 16, 24, 32, 40, 40)
    ]  # fmt: skip


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("name", ENCODED)
def test_encoding_anew_is_stopped_within_a_batch(tmp_path: Path, name: VideoFormat) -> None:
    told: list[int] = []

    def report(stage: str, done: int, total: int | None) -> None:
        told.append(done)
        if done >= 16:
            raise StoppedError

    with pytest.raises(StoppedError):
        join(tmp_path, name, Stages(report))
    assert [done for done in told if done] == [8, 16]


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_what_is_encoded_anew_has_a_bound(tmp_path: Path, name: VideoFormat) -> None:
    with pytest.raises(
        ProblemError, match=r"the first \d+ frames have \d+ bytes; allowed are 2000 for all; a sm"
    ) as error:
        join(tmp_path, name, Stages(), max_archive_bytes=2000)
    assert error.value.problem_type is ProblemType.TOO_LARGE
