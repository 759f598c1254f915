"""What the network looks at: a square of the picture, turned with the face, resampled from a pyramid."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from model.arrays import Array, Floats, Pixels

WINDOW_PER_FACE_HEIGHT = 1.4  # side of the window that a face's own pose asks for, in heights of the mean face


@dataclass(frozen=True)
class Window:
    """A square in source pixels (continuous coordinates), turned clockwise by `angle` radians.

    Its own units run from -1 to 1 over the side, before turning.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def points_to_source(self, points: Array) -> Floats:
        """Points (..., 2 or 3) from window units to source pixels; depth is scaled alike."""
        moved: Array = np.asarray(points, dtype=np.float64) * (self.side / 2)
        moved[..., :2] = moved[..., :2] @ self._rotation().T + (self.x, self.y)
        return moved.astype(np.float32)

    def points_to_window(self, points: Array) -> Array:
        """Points (..., 2 or 3) from source pixels to window units; depth is scaled alike."""
        moved: Array = np.array(points, dtype=np.float64)
        moved[..., :2] = (moved[..., :2] - (self.x, self.y)) @ self._rotation()
        return (moved * (2 / self.side)).astype(np.float32)

    def compose(self, pose: Array) -> "Window":
        """The window of a face whose pose (x, y, log_scale, angle) was seen in this window's units."""
        x, y = (float(v) for v in self.points_to_source(np.asarray(pose[:2], dtype=np.float64)))
        return Window(x, y, self.side * math.exp(float(pose[2])), self.angle + float(pose[3]))

    def to_source(self, size: int) -> Array:
        """Affine matrix (2, 3) from pixels of the window resampled to `size` to source pixels, middles at halves."""
        linear = self._rotation() * (self.side / size)
        return np.hstack([linear, np.array([[self.x], [self.y]]) - linear @ np.full((2, 1), size / 2)])

    def overlap(self, other: "Window") -> float:
        """Intersection over union of the two squares, their turns ignored."""
        shared = self._shared(other)
        return shared / (self.side**2 + other.side**2 - shared)

    def contained(self, other: "Window") -> float:
        """Share of the smaller square that lies in the larger one, their turns ignored."""
        return self._shared(other) / min(self.side, other.side) ** 2

    def _shared(self, other: "Window") -> float:
        reach = (self.side + other.side) / 2
        width = min(reach - abs(self.x - other.x), self.side, other.side)
        height = min(reach - abs(self.y - other.y), self.side, other.side)
        return max(0.0, width) * max(0.0, height)

    def _rotation(self) -> Array:
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])


class Pyramid:
    """A picture (H, W, 3) uint8 and its halvings, from which windows of any size are cut without aliasing."""

    def __init__(self, rgb: Pixels) -> None:
        self.height, self.width = rgb.shape[:2]
        self._levels = [np.ascontiguousarray(rgb)]
        while min(self._levels[-1].shape[:2]) >= 32:
            height, width = self._levels[-1].shape[:2]
            half = (max(1, width // 2), max(1, height // 2))
            self._levels.append(cv2.resize(self._levels[-1], half, interpolation=cv2.INTER_AREA))

    @property
    def rgb(self) -> Pixels:
        """The picture itself."""
        return self._levels[0]

    def thumbnail(self) -> Pixels:
        """The whole picture as (32, 32, 3) uint8, whatever its proportions."""
        thumbnail: Pixels = cv2.resize(self._levels[-1], (32, 32), interpolation=cv2.INTER_AREA)
        return thumbnail

    def cut(self, window: Window, size: int) -> Pixels:
        """The window as (size, size, 3) uint8; outside the picture its border pixels are repeated."""
        level = min(max(0, round(math.log2(max(window.side / size, 1e-6)) - 0.1)), len(self._levels) - 1)
        picture = self._levels[level]
        return warp(
            picture, window.to_source(size), size, scale=(picture.shape[1] / self.width, picture.shape[0] / self.height)
        )


def warp(
    picture: Pixels,
    to_source: Array,
    size: int,
    *,
    scale: tuple[float, float] = (1.0, 1.0),
    border: int = cv2.BORDER_REPLICATE,
) -> Array:
    """Resample `picture` bilinearly through `to_source` (2, 3), a map of continuous coordinates; (size, size, C)."""
    matrix = to_source * np.array([[scale[0]], [scale[1]]])
    matrix[:, 2] += matrix[:, :2].sum(axis=1) * 0.5 - 0.5  # warpAffine counts from pixel middles
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped: Array = cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderMode=border)
    return warped
