"""How soon and how often a live portrait's pictures come, with nothing else to do."""

import time
from queue import SimpleQueue
from typing import Any

import numpy as np

from model.arrays import Floats
from worker.benchmark.inputs import PORTRAIT, spoken_motions
from worker.live.pictures import LivePictures
from worker.media.images import read_image
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import PreparedPortrait

SIZES = (256, 512)
PICTURES = 100
QUALITY = 80


def measure_live(settings: WorkerSettings) -> list[dict[str, Any]]:
    """Of each size: pictures a second while they are drawn one after the other, and milliseconds from draw to JPEG.

    "alone": each is drawn when the one before is there; "busy": as soon as there is room. Core milliseconds add up what
    each core works on a picture, and so mind other processes less.
    """
    models = Models.of(settings)
    photo = read_image(PORTRAIT, settings.image_limits)
    portrait = PreparedPortrait(photo, models.extractor.extract(photo), models)
    motions = spoken_motions(models, settings, portrait.face, PICTURES)
    return [_of_size(models, portrait, motions, size) for size in SIZES]


def _of_size(models: Models, portrait: PreparedPortrait, motions: Floats, size: int) -> dict[str, Any]:
    took = SimpleQueue[float]()

    def drawn(began: float, _: bytes) -> None:
        took.put(time.perf_counter() - began)

    with LivePictures(models, portrait, size=size, quality=QUALITY, drawn=drawn) as pictures:
        alone, busy = list[float](), list[float]()
        for motion in motions:
            pictures.draw(motion, time.perf_counter())
            alone.append(took.get())
        start, start_cores = time.perf_counter(), time.process_time()
        for motion in motions:
            pictures.has_room()
            pictures.draw(motion, time.perf_counter())
        busy += [took.get() for _ in motions]
        seconds, cores = time.perf_counter() - start, time.process_time() - start_cores
    return {
        "size": size,
        "pictures": len(motions),
        "pictures_per_second": round(len(motions) / seconds, 1),
        "core_ms_per_picture": round(1000 * cores / len(motions), 1),
        "alone_ms": _percentiles(alone),
        "busy_ms": _percentiles(busy),
    }


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{share}": round(1000 * float(np.percentile(seconds, share)), 1) for share in (50, 99)}
