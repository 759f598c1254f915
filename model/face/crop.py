"""The square crop of a face: one convention for training data and for serving, and its inverse.

Coordinates are continuous: a picture of W columns spans x = 0..W and the middle of its first pixel is 0.5, so that a
point at p in a crop of `size` pixels lies at x + p * side / size in the source. Landmarks are told in crop units, of
which CROP_UNITS make the crop's side, however many pixels the network that draws the face sees along it.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from model.arrays import Array, Floats, Pixels

SIDE_PER_FACE_HEIGHT = 1.65
LIFT_PER_FACE_HEIGHT = 0.08  # the crop's centre lies this much above the middle of the landmarks' box
SMALLEST_SIDE_PER_HEIGHT = 1.35  # what a crop may shrink to so that it stays inside its frame
SIDE_PER_EXTENT = 1.2  # room the landmarks of all frames need, relative to their joint box
CROP_UNITS = 256


@dataclass(frozen=True)
class Crop:
    """A square of the source: left and top edge and side, in source pixels; it may reach outside the picture."""

    x: float
    y: float
    side: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y) and math.isfinite(self.side) and self.side > 0):
            raise ValueError(f"crop ({self.x}, {self.y}, {self.side}): allowed are finite x and y, and side > 0")

    def scaled(self, factor: float) -> "Crop":
        """The same square of a source whose sides are `factor` times as long."""
        return Crop(self.x * factor, self.y * factor, self.side * factor)

    def cut(self, rgb: Pixels, size: int = CROP_UNITS) -> Pixels:
        """The crop of `rgb` (H, W, 3) uint8 as (size, size, 3) uint8; what lies outside the picture is mirrored.

        When shrinking, each pixel is the mean of the area it covers; when enlarging, bicubic.
        """
        samples = max(1, math.ceil(self.side / size - 1e-6))  # per pixel and axis: none more than 1 px apart
        step = self.side / (size * samples)
        # warpAffine's coordinates are those of pixel middles, hence the halves
        to_source = np.array([[step, 0.0, self.x + 0.5 * step - 0.5], [0.0, step, self.y + 0.5 * step - 0.5]])
        interpolation = cv2.INTER_LINEAR if samples > 1 else cv2.INTER_CUBIC
        sampled: Pixels = cv2.warpAffine(
            np.ascontiguousarray(rgb),
            to_source,
            (size * samples, size * samples),
            flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        if samples == 1:
            return sampled
        averaged: Array = cv2.resize(sampled, (size, size), interpolation=cv2.INTER_AREA)
        return averaged

    def points_to_crop(self, points: Array, size: int = CROP_UNITS) -> Floats:
        """Points (..., 2 or 3) from source pixels to those of the crop, or to crop units; depth is scaled alike."""
        moved: Array = (np.asarray(points, dtype=np.float32) - self._origin(points)) * np.float32(size / self.side)
        return moved

    def points_to_source(self, points: Array, size: int = CROP_UNITS) -> Floats:
        """Points (..., 2 or 3) from pixels of the crop, or crop units, to source pixels; depth is scaled alike."""
        moved: Array = np.asarray(points, dtype=np.float32) * np.float32(self.side / size) + self._origin(points)
        return moved

    def _origin(self, points: Array) -> Array:
        return np.array([self.x, self.y, 0.0][: np.shape(points)[-1]], dtype=np.float32)


def crop_from_landmarks(points: Array, frame_size: tuple[int, int]) -> Crop:
    """The crop of a face by its landmarks.

    The side is 1.65 times the (median) height of the landmarks' box, more where the landmarks need it, and not larger
    than the frame where that suffices; the crop is centred on the box, lifted by 8 % of the height, and shifted into
    the frame as far as it goes.

    Args:
        points: landmarks (N, 2 or 3) of a photo or (T, N, 2 or 3) of a clip, in source pixels.
        frame_size: (width, height) of the source.
    """
    frames = np.asarray(points, dtype=np.float64)[..., :2]
    frames = frames.reshape(-1, *frames.shape[-2:])
    low, high = frames.min(axis=1), frames.max(axis=1)  # (T, 2)
    height = float(np.median(high[:, 1] - low[:, 1]))
    first, last = low.min(axis=0), high.max(axis=0)  # joint box of all frames
    needed = SIDE_PER_EXTENT * float((last - first).max())
    side = SIDE_PER_FACE_HEIGHT * height
    frame_side = float(min(frame_size))
    if side > frame_side:
        side = min(side, max(frame_side, SMALLEST_SIDE_PER_HEIGHT * height))
    side = max(side, needed)
    centre = np.median((low + high) / 2, axis=0) - (0.0, LIFT_PER_FACE_HEIGHT * height)
    # faces that move: the joint box stays inside, as far as the side allows
    half = side / 2
    centre = np.clip(centre, np.minimum(last - half, (first + last) / 2), np.maximum(first + half, (first + last) / 2))
    x, y = (_shifted_into(float(c) - half, side, extent) for c, extent in zip(centre, frame_size, strict=True))
    return Crop(x, y, side)


def _shifted_into(start: float, side: float, extent: int) -> float:
    """Start of a span of length `side` moved to lie in 0..extent, or to cover it where it is longer."""
    slack = extent - side
    return min(max(start, min(0.0, slack)), max(0.0, slack))
