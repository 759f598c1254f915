"""What a video file shows: which of its streams is the picture, which way up that is, and how wide its pixels are."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import numpy as np
from av.stream import Disposition

WIDEST_PIXEL = 4  # and as high: what is further from square than anything that is filmed is a mistake


def picture_stream(container: Any) -> Any:
    """The first video stream of an av.container.InputContainer that is no cover picture; None where there is none."""
    streams = container.streams.video
    return next((stream for stream in streams if not stream.disposition & Disposition.attached_pic), None)


def pixel_ratio(stream: Any) -> Fraction:
    """Width of a stored pixel over its height, as the file says; 1 where it does not, or says what cannot be."""
    ratio = stream.sample_aspect_ratio
    return ratio if ratio and 1 / WIDEST_PIXEL <= ratio <= WIDEST_PIXEL else Fraction(1)


def upright(frame: Any, ratio: Fraction = Fraction(1), *, most_pixels: int | None = None) -> np.ndarray:
    """An av.VideoFrame as (H, W, 3) uint8 RGB with square pixels, turned and mirrored as its display matrix says.

    A stored pixel is `ratio` times as wide as high. The picture is widened or heightened, or, where it would then have
    more than `most_pixels`, made narrower or lower.
    """
    width, height = frame.width, frame.height
    grown = max(ratio, 1 / ratio)
    if (ratio > 1) == (most_pixels is None or width * height * grown <= most_pixels):
        width = max(1, round(width * ratio))
    else:
        height = max(1, round(height / ratio))
    rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
    return np.ascontiguousarray(_turned(rgb, frame))


def _turned(rgb: np.ndarray, frame: Any) -> np.ndarray:
    """In the nearest of the eight ways to turn and mirror: column x goes to a x + c y, row y to b x + d y."""
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return rgb
    a, b, _, c, d = struct.unpack_from("=5i", bytes(side_data))
    if abs(b) + abs(c) > abs(a) + abs(d):
        rgb, a, d = rgb.swapaxes(0, 1), c, b
    return rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
