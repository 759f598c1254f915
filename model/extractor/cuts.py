"""Cuts in a video: where a frame has little of the picture before it."""

from collections.abc import Iterable, Iterator

import numpy as np

from model.arrays import Pixels
from model.extractor.window import Pyramid

# Mean absolute difference of two thumbnails, of 255, that makes a cut. Between neighbouring frames of the corpus it is
# 1 (median) and 40 once in ten thousand; between frames of two of its clips, all alike in framing, 35 or more.
CUT = 30.0


def uncut(frames: Iterable[Pixels], longest: int) -> Iterator[tuple[bool, list[Pyramid]]]:
    """Frames (H, W, 3) uint8 in batches of up to `longest`, and whether there is a cut before each batch; none inside.

    Where the frames change their size there is a cut, too.
    """
    batch: list[Pyramid] = []
    thumbnail: Pixels | None = None
    cut = False
    for frame in frames:
        picture = Pyramid(frame)
        before, thumbnail = thumbnail, picture.thumbnail().astype(np.float32)
        same_size = not batch or batch[-1].rgb.shape == frame.shape
        ends = before is not None and (not same_size or float(np.abs(thumbnail - before).mean()) > CUT)
        if batch and (ends or len(batch) == longest):
            yield cut, batch
            batch, cut = [], False
        cut = cut or ends
        batch.append(picture)
    if batch:
        yield cut, batch
