"""How fast animated crops go back into a large photo, with nothing else to do."""

import time
from statistics import median
from typing import Any

import cv2

from model.arrays import Pixels
from worker.benchmark.inputs import PORTRAIT, spoken_motions
from worker.make.canvas import whole_photo
from worker.media.images import read_image
from worker.models import Models
from worker.settings import WorkerSettings

FRAME = (1920, 1080)
FACE_SHARE = 0.55  # side of the crop over the frame's height
FRAMES = 16


def measure_paste(settings: WorkerSettings, *, rounds: int = 5) -> dict[str, Any]:
    """Frames a second of video put together at 1920 x 1080, the median of `rounds`."""
    models = Models.of(settings)
    photo = wide_photo(read_image(PORTRAIT, settings.image_limits))
    face = models.extractor.extract(photo)
    motions = spoken_motions(models, settings, face, FRAMES)
    animated = [frame for batch in models.animator.animate(models.animator.prepare(face), motions) for frame in batch]
    canvas = whole_photo(photo, face, None, planar=True)
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        for frame in animated:
            canvas.paste(frame)
        times.append((time.perf_counter() - start) / len(animated))
    seconds = median(times[1:])
    return {
        "photo": list(FRAME),
        "crop_side": round(face.crop.side),
        "ms_per_frame": round(seconds * 1000, 2),
        "frames_per_second": round(1 / seconds, 1),
    }


def wide_photo(portrait: Pixels) -> Pixels:
    """The portrait, enlarged, in the middle of a frame of 1920 x 1080 uint8; what is missing is mirrored."""
    width, height = FRAME
    crop_side = 349 / portrait.shape[0]  # of the packaged portrait, over its height
    scale = FACE_SHARE / crop_side * height / portrait.shape[0]
    large = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:height]
    above = height - len(large)
    left = (width - large.shape[1]) // 2
    framed: Pixels = cv2.copyMakeBorder(large, 0, above, left, width - large.shape[1] - left, cv2.BORDER_REFLECT_101)
    return framed
