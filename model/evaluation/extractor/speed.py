"""What the extractor weighs and how fast it is on this machine."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from model.data.corpus import Item
from model.errors import NoFaceError
from model.evaluation.extractor.portraits import LabelledPortrait
from model.extractor.extractor import Extractor
from model.extractor.reader import WEIGHTS
from model.extractor.window import Pyramid, Window
from model.weights.files import released_weights

REPEATS = 30
VIDEO_FRAMES = 150


def speed_figures(
    extractor: Extractor, clips: list[Item], portraits: list[LabelledPortrait], weights: Path | None
) -> dict[str, Any]:
    """Size of the weights in MB (10^6 bytes), and median times on the cores that this process may use.

    look_ms: one closer look at a face. frame_ms: one frame of a video by itself, two looks and the fit. photo_ms: a
    256 x 256 photo from finding to coefficients. video_frames_per_second: a 256 x 256 video, streamed in batches; None
    where its face is not found.
    """
    pictures = [Pyramid(portrait.picture) for portrait in portraits]
    window = Window(128.0, 128.0, 180.0)

    def look(number: int) -> None:
        extractor.reader.look(pictures[number : number + 1], [window])

    def frame(number: int) -> None:
        sighting = extractor.reader.refine(pictures[number : number + 1], [window], looks=2)[0]
        extractor.morphable.fit(torch.from_numpy(sighting.landmarks)[None])

    def photo(number: int) -> None:
        with suppress(NoFaceError):
            extractor.extract(portraits[number].picture)

    compiled = not isinstance(extractor.reader.network.features, nn.Sequential)
    return {
        "weights_mb": round(((weights or released_weights()) / f"{WEIGHTS}.safetensors").stat().st_size / 1e6, 2),
        "engine": "openvino" if compiled else "torch",
        "cores": len(os.sched_getaffinity(0)),
        "look_ms": _median_ms(look, len(pictures)),
        "frame_ms": _median_ms(frame, len(pictures)),
        "photo_ms": _median_ms(photo, len(pictures)),
        "video_frames_per_second": _video_rate(extractor, clips[0]),
    }


def _video_rate(extractor: Extractor, clip: Item) -> float | None:
    frames = list(islice(cycle(clip.read_frames(range(clip.frames))), VIDEO_FRAMES))
    started = time.perf_counter()
    try:
        followed = sum(1 for _ in extractor.extract_video(frames))
    except NoFaceError:
        return None
    return round(followed / (time.perf_counter() - started), 1)


def _median_ms(action: Callable[[int], Any], count: int) -> float:
    """Median milliseconds of `action(number)` over REPEATS numbers below `count`, after two runs unmeasured."""
    times = []
    for repeat in range(REPEATS + 2):
        started = time.perf_counter()
        action(repeat % count)
        times.append(time.perf_counter() - started)
    return round(1000 * float(np.median(times[2:])), 2)
