"""The stages of a whole video job, through the code that a worker runs."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from jobs.schemas import VideoOptions
from model.animation.animator import Animator
from model.engines import Engine, RenderedFrames, Rendering
from model.renderer.network import PortraitState
from worker.benchmark.inputs import large_portrait, long_speech
from worker.make.render import make_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import Workbench

ROUNDS_ALONE = 5  # of the network rendering and nothing else, the median counts


class TimedEngine(Engine):
    """An engine whose calls are timed as the stage "network" and whose last whole batch is kept."""

    def __init__(self, engine: Engine, stages: Stages) -> None:
        super().__init__(engine.network, name=engine.name)
        self.engine = engine
        self.stages = stages
        self.last: tuple[PortraitState, Tensor, Tensor | None] | None = None

    def describe(self, motions: Tensor) -> Tensor:
        """See `Engine.describe`."""
        with self.stages.timed("network"):
            return self.engine.describe(motions)

    def prepare(self, source: Tensor) -> PortraitState:
        """See `Engine.prepare`."""
        with self.stages.timed("network"):
            return self.engine.prepare(source)

    def render(self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None = None) -> Rendering:
        """See `Engine.render`."""
        return self.engine.render(portrait, descriptors, prior)

    def render_frames(
        self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None = None
    ) -> RenderedFrames:
        """See `Engine.render_frames`."""
        if self.last is None or len(descriptors) >= len(self.last[1]):  # not a shorter one at an end
            self.last = portrait, descriptors, prior
        with self.stages.timed("network"):
            return self.engine.render_frames(portrait, descriptors, prior)

    def alone(self) -> tuple[float, float]:
        """Seconds per frame of the engine when nothing else runs, and of the processor's cores."""
        if self.last is None:
            raise ValueError("nothing has been rendered yet")
        times, cores = [], []
        for _ in range(ROUNDS_ALONE + 1):
            start, start_cores = time.perf_counter(), time.process_time()
            self.engine.render_frames(*self.last)
            times.append((time.perf_counter() - start) / len(self.last[1]))
            cores.append((time.process_time() - start_cores) / len(self.last[1]))
        return statistics.median(times[1:]), statistics.median(cores[1:])


def measure_video(settings: WorkerSettings, *, seconds: float = 10.0, models: Models | None = None) -> dict[str, Any]:
    """Seconds of each stage of a job of so much speech over a photo of 1.5 megapixels, pasted back, at 25 frames/s.

    Stages overlap: their sum is more than the job's time, "total". "around" is the share of the total that the network
    alone, with the machine to itself, would not need. Core seconds add up what each core works, and so mind other
    processes less. Models are loaded and graphs compiled beforehand.
    """
    models = models or Models.of(settings)
    models.load_all()
    with TemporaryDirectory() as name:
        folder = Path(name)
        portrait = large_portrait(folder)
        options = VideoOptions(seed=7)
        engine = timed_engine(models.animator)
        for length in (1.0, seconds):  # the first to warm up
            stages = Stages()
            engine.stages = stages
            speech = long_speech(folder, length)
            start, start_cores = time.perf_counter(), time.process_time()
            made = make_video(
                Workbench(models, settings, stages), portrait, folder / "a.mp4", audio=speech, options=options
            )
            total, total_cores = time.perf_counter() - start, time.process_time() - start_cores
        size = (folder / "a.mp4").stat().st_size
    frames = made.frames or 0
    alone, alone_cores = (seconds * frames for seconds in engine.alone())
    models.animator.engine = engine.engine
    return {
        "engine": engine.name,
        "batch_size": settings.batch_size,
        "photo": [made.width, made.height],
        "speech_seconds": seconds,
        "frames": frames,
        "bytes": size,
        "stages_seconds": dict(_stages(stages.seconds)),
        "total_seconds": round(total, 3),
        "network_alone_seconds": round(alone, 3),
        "around": round(1 - alone / total, 4),
        "total_core_seconds": round(total_cores, 3),
        "network_alone_core_seconds": round(alone_cores, 3),
    }


def timed_engine(animator: Animator) -> TimedEngine:
    """Put a stopwatch around the animator's engine."""
    timed = TimedEngine(animator.engine, Stages())
    animator.engine = timed
    return timed


def _stages(seconds: dict[str, float]) -> Iterator[tuple[str, float]]:
    """As measured, but rendering told apart: the network, and what the animator does around it."""
    for stage, value in seconds.items():
        if stage == "render":
            yield "network", round(seconds["network"], 3)
            yield "prior", round(value - seconds["network"], 3)
        elif stage != "network":
            yield stage, round(value, 3)
