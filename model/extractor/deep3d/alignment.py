"""Alignment of a face for Deep3DFaceRecon's network: five points onto a standard 3D face, and the window they ask for.

The window is what published weights were trained on, so every rounding here is theirs: the picture's new size and the
window's corner are whole pixels, cut off towards zero. Heights are counted upwards from the bottom row of pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.arrays import Doubles, Pixels
from model.errors import NoFaceError
from model.extractor.deep3d.network import WINDOW_SIZE

STANDARD_SCALE = 102.0  # pixels of the window that one unit (decimetre) of the standard face is given
LARGEST_SCALE = 16.0  # window pixels per source pixel: a face of fewer than some 6 pixels shows nothing

# Of the 478 landmarks; an eye is the middle between its corners. Order: the viewer's left eye and right eye, tip of
# the nose, the viewer's left and right corner of the mouth.
FIVE_POINTS = ((33, 133), (362, 263), (4,), (61,), (291,))
# The same of the 68 points of the iBUG scheme, counted from 0.
FIVE_OF_68 = ((36, 39), (42, 45), (30,), (48,), (54,))


def five_points(landmarks: NDArray[np.floating], groups: tuple[tuple[int, ...], ...] = FIVE_POINTS) -> Doubles:
    """The five points (5, C) of landmarks (N, C): the means over `groups`."""
    return np.stack([np.asarray(landmarks, np.float64)[list(group)].mean(axis=0) for group in groups])


@dataclass(frozen=True)
class Alignment:
    """The five alignment numbers: size of the source, and scale and place of the standard face's origin in it."""

    width: int  # source pixels
    height: int
    scale: float  # window pixels per source pixel
    x: float  # source pixels, from the left
    y: float  # source pixels, upwards from the bottom row

    @classmethod
    def of(cls, points: Doubles, standard_face: Doubles, width: int, height: int) -> "Alignment":
        """From five points (5, 2) in a source of width x height pixels and a standard face (5, 3).

        The points' y goes downwards, and (0, 0) is the middle of the first pixel.

        The affine camera that takes the standard face to the points with the least squared error has two rows; their
        mean length is pixels per unit, and the camera's offset is where it puts the origin. Rotation is not undone:
        the network is there to see it.

        Raises NoFaceError: the points are not finite or lie together, so that they tell no size.
        """
        upwards = np.asarray(points, np.float64) * (1.0, -1.0) + (0.0, height - 1.0)
        camera = np.full((4, 2), np.nan)
        if np.isfinite(upwards).all():
            camera = np.linalg.lstsq(np.column_stack([standard_face, np.ones(len(standard_face))]), upwards)[0]
        size = np.linalg.norm(camera[:3], axis=0).mean()
        if not size > STANDARD_SCALE / LARGEST_SCALE:
            raise NoFaceError(
                f"eyes, nose and mouth show a face of {size:.3g} pixels per unit; allowed are more than "
                f"{STANDARD_SCALE / LARGEST_SCALE:.3g}"
            )
        return cls(width, height, float(STANDARD_SCALE / size), float(camera[3, 0]), float(camera[3, 1]))

    @property
    def numbers(self) -> Doubles:
        """(5,): width, height, scale, x and y, as the authors' coefficient files have them."""
        return np.array([self.width, self.height, self.scale, self.x, self.y])

    @property
    def scaled_size(self) -> tuple[int, int]:
        """Width and height of the whole source at the window's scale, in whole pixels."""
        return int(self.width * self.scale), int(self.height * self.scale)

    @property
    def corner(self) -> tuple[int, int]:
        """Left and upper edge of the window in the scaled source, in whole pixels."""
        width, height = self.scaled_size
        middle_x = width / 2 + (self.x - self.width / 2) * self.scale
        middle_y = height / 2 + (self.height / 2 - self.y) * self.scale
        return int(middle_x - WINDOW_SIZE / 2), int(middle_y - WINDOW_SIZE / 2)

    def cut(self, rgb: Pixels) -> Pixels:
        """The window (224, 224, 3) of the source (height, width, 3), uint8; black where it reaches outside."""
        if rgb.shape != (self.height, self.width, 3):
            raise ValueError(f"picture of shape {rgb.shape}; this alignment is of {(self.height, self.width, 3)}")
        left, top = self.corner
        scaled = Image.fromarray(rgb).resize(self.scaled_size, Image.Resampling.BICUBIC)
        return np.array(scaled.crop((left, top, left + WINDOW_SIZE, top + WINDOW_SIZE)))

    def points_to_window(self, points: Doubles) -> Doubles:
        """Points (..., 2) of the source to pixels of the window, y downwards in both; edges of pictures are at 0."""
        ratio = np.array(self.scaled_size) / (self.width, self.height)
        return np.asarray(points, np.float64) * ratio - self.corner

    def points_to_source(self, points: Doubles) -> Doubles:
        """The inverse of `points_to_window`."""
        ratio = np.array(self.scaled_size) / (self.width, self.height)
        return (np.asarray(points, np.float64) + self.corner) / ratio
