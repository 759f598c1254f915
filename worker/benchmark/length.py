"""Whether memory grows with the length of a job: a short and a long one, each in a process of its own."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs.logs import configure_logging
from jobs.schemas import VideoOptions
from model.animation.animator import Animator
from model.engines import EngineSettings, build_engine
from model.evaluation.engines.subjects import made
from model.metrics.memory import peak_resident_mib
from model.morphable import MorphableModel
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.renderer.prior.prior import Prior
from worker.benchmark.inputs import PORTRAIT, long_speech
from worker.make.render import make_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench

SIZE = 256  # longest side of the videos, in pixels


def measure_length(short: float = 10.0, long: float = 600.0) -> dict[str, Any]:
    """Peak memory of jobs of `short` and of `long` seconds of speech, from the sound file to the MP4.

    All is as in a worker but for the renderer's network, which is so small that ten minutes of video take one or two.
    """
    found = {}
    with TemporaryDirectory() as folder:
        for name, seconds in (("short", short), ("long", long)):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=configure_logging) as pool:
                found[name] = pool.submit(peak_of_job, Path(folder), seconds).result()
    return {**found, "growth_mib": round(found["long"]["peak_mib"] - found["short"]["peak_mib"], 1)}


def peak_of_job(folder: Path, seconds: float) -> dict[str, float]:
    """Peak MiB of this process after one video job."""
    settings = WorkerSettings(max_audio_seconds=seconds + 1)
    models = Models.of(settings)
    models.animator = tiny_animator()
    options = VideoOptions(seed=7, size=SIZE)
    speech = long_speech(folder, seconds)
    job = make_video(Workbench(models, settings), PORTRAIT, folder / "a.mp4", audio=speech, options=options)
    return {"seconds": seconds, "frames": job.frames or 0, "peak_mib": round(peak_resident_mib(), 1)}


def tiny_animator() -> Animator:
    """A guided renderer with next to no channels, but with descriptors as large as the released one's."""
    config = RendererConfig(
        motion_dimension=70,
        adain_hidden=8,
        warping=WarpingConfig(base_channels=2, max_channels=4),
        editing=EditingConfig(base_channels=2, max_channels=4, layers=1, residual_blocks=1),
        guided=True,
        doubt=True,
        patch=2,
        grid="aligned",
    )
    engine = build_engine(made(config), EngineSettings(device="cpu", precision="float32"))
    morphable = MorphableModel.load()
    return Animator(engine, motion_space="open478", morphable=morphable, prior=Prior.load(morphable))
