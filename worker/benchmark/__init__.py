"""What a machine does with the models: the engines, the stages of a job, pasting, live pictures, a start, memory."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from model.evaluation.engines.benchmark import benchmark, default_frames
from model.evaluation.engines.subjects import LIGHT, Subject
from worker.benchmark.inputs import speaking_scene
from worker.benchmark.length import measure_length
from worker.benchmark.live import measure_live
from worker.benchmark.machine import describe_machine
from worker.benchmark.paste import measure_paste
from worker.benchmark.start import measure_start
from worker.benchmark.video import measure_video
from worker.settings import WorkerSettings

USUAL_PARTS = ("engines", "video", "paste", "live", "start")
PARTS = (*USUAL_PARTS, "length")  # which takes minutes by itself

log = structlog.get_logger(__name__)


def measure(
    settings: WorkerSettings,
    *,
    parts: Collection[str] = USUAL_PARTS,
    renderers: Sequence[str] = (LIGHT,),
    **engines: Any,
) -> dict[str, Any]:
    """Measure `parts` of PARTS, the engines on each of `renderers` (see `Subject.load`); `engines` go to `benchmark`.

    Raises WeightsError: there are no such weights.
    """
    report: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": describe_machine()}
    if "engines" in parts:
        report["engines"] = [_engines(name, **engines) for name in renderers]
    if "video" in parts:
        log.info("measuring a video job")
        report["video"] = measure_video(settings)
    if "paste" in parts:
        log.info("measuring pasting")
        report["paste"] = measure_paste(settings)
    if "live" in parts:
        log.info("measuring live pictures")
        report["live"] = measure_live(settings)
    if "start" in parts:
        log.info("measuring a worker's start")
        report["start"] = measure_start(settings)
    if "length" in parts:
        log.info("measuring memory over a video's length")
        report["length"] = measure_length()
    return report


def _engines(name: str, *, frames: int | None = None, **options: Any) -> dict[str, Any]:
    log.info("measuring engines", renderer=name)
    subject = Subject.load(name)
    frames = frames or default_frames(subject.network, options.get("device", "auto"))
    scene = speaking_scene(frames) if subject.speaks else None
    return benchmark(name, scene=scene, frames=frames, **options)
