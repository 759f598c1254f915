"""What GIF and animated WebP have in common: pictures without sound, of which only what changes is stored."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from model.arrays import Pixels

UNSEEN = 6  # of 255: by so much pixels change from one frame to the next where H.264 shows the same


class Change(NamedTuple):
    """A picture, uint8 (H, W, 3), and where it differs from the one before: these rows and columns of it."""

    picture: Pixels
    rows: slice
    columns: slice


def rgb(frame: Any) -> Pixels:
    """An av.VideoFrame of a video of ours as uint8 (H, W, 3)."""
    converted: Pixels = frame.reformat(
        format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG
    ).to_ndarray()
    return converted


def changes(pictures: Iterable[Pixels]) -> Iterator[Change]:
    """Pictures in which what seems to stand still does: it neither flickers nor takes room.

    A picture's array changes when the next one is asked for. Of each something differs, if only by its place.
    """
    shown: Pixels | None = None
    for picture in pictures:
        if shown is None:
            shown = picture.copy()
            yield Change(shown, slice(0, len(shown)), slice(0, shown.shape[1]))
            continue
        differs = (np.abs(picture.astype(np.int16) - shown) > UNSEEN).any(axis=2)
        shown[differs] = picture[differs]
        yield Change(shown, _span(differs.any(axis=1)), _span(differs.any(axis=0)))


def ticks(frames: int, fps: Fraction, unit: int) -> int:
    """When so many frames have been shown, in whole parts of a second, of which it has `unit`."""
    return round(frames * unit / fps)


def _span(changed: Any) -> slice:
    """From the first that changed to the last, widened to begin and end at even numbers."""
    where = np.flatnonzero(changed).tolist() or [0]
    return slice(where[0] // 2 * 2, where[-1] // 2 * 2 + 2)
