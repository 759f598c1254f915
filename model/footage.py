"""What a video file shows: which of its streams is the picture, which way up that is, and how wide its pixels are."""

import math
import struct
from fractions import Fraction
from typing import Any

import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from model.arrays import Array, Pixels

WIDEST_PIXEL = 4  # and as high: what is further from square than anything that is filmed is a mistake


def picture_stream(container: Any) -> Any:
    """The first video stream of an av.container.InputContainer that is no cover picture; None where there is none."""
    streams = container.streams.video
    return next((stream for stream in streams if not stream.disposition & Disposition.attached_pic), None)


def pixel_ratio(stream: Any) -> Fraction:
    """Width of a stored pixel over its height, as the file says; 1 where it does not, or says what cannot be."""
    ratio = stream.sample_aspect_ratio
    return ratio if ratio and 1 / WIDEST_PIXEL <= ratio <= WIDEST_PIXEL else Fraction(1)


def square_size(width: int, height: int, ratio: Fraction) -> tuple[int, int]:
    """Width and height of a picture once its pixels, which are `ratio` times as wide as high, are square ones."""
    return (max(1, round(width * ratio)), height) if ratio > 1 else (width, max(1, round(height / ratio)))


class Upright:
    """Makes pictures of the frames of one video: upright, unmirrored and of square pixels."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._rotation: int | None = None  # of the frame whose matrix was read last
        self._matrix: bytes | None = None

    def __call__(self, frame: Any, ratio: Fraction = Fraction(1), *, most_pixels: int | None = None) -> Pixels:
        """An av.VideoFrame as (H, W, 3) uint8 RGB, turned and mirrored as its display matrix says.

        A stored pixel is `ratio` times as wide as high. A picture of more than `most_pixels` is made smaller.
        """
        width, height = square_size(frame.width, frame.height, ratio)
        if most_pixels is not None and width * height > most_pixels:
            shrink = math.sqrt(most_pixels / (width * height))
            width, height = max(1, int(width * shrink)), max(1, int(height * shrink))
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
        return np.ascontiguousarray(_turned(rgb, self._matrix_of(frame)))

    def _matrix_of(self, frame: Any) -> bytes | None:
        """A frame that has told its side data is held by it, and stays until garbage is collected: so few are asked."""
        if frame.rotation != self._rotation:
            self._rotation = frame.rotation
            side_data = frame.side_data.get("DISPLAYMATRIX")
            self._matrix = None if side_data is None else bytes(side_data)
        return self._matrix


def _turned(rgb: Array, matrix: bytes | None) -> Array:
    """In the nearest of the eight ways to turn and mirror: column x goes to a x + c y, row y to b x + d y."""
    if matrix is None:
        return rgb
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        rgb, a, d = rgb.swapaxes(0, 1), c, b
    return rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
