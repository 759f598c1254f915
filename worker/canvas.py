"""What a frame of the result shows: the whole photo with the animated face in it, or the square crop alone."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.media.paste import Paster, PlanarPaster, Square

Image = NDArray[np.uint8]

CROP_SIDE = 256


@dataclass(frozen=True)
class _Square:
    x: float
    y: float
    side: float


class CutFace(Protocol):
    """Where a face was cut from the photo, and what was cut: uint8 (S, S, 3)."""

    @property
    def crop(self) -> Square:
        """In photo pixels."""
        ...

    @property
    def image(self) -> Image:
        """The crop before animation."""
        ...


class Canvas:
    """Puts animated crops into the result's frame, of `width` x `height` pixels."""

    def __init__(self, width: int, height: int, paster: Paster | None) -> None:
        self.width = width
        self.height = height
        self._paster = paster

    @classmethod
    def of(cls, photo: Image, face: CutFace, longest_side: int | None, *, planar: bool = False) -> "Canvas":
        """The whole photo, uint8 (H, W, 3), shrunk or enlarged to `longest_side` pixels (None: as it is).

        With `planar` frames are composed for video: see `PlanarPaster`.
        """
        paster = PlanarPaster if planar else Paster
        crop, still = face.crop, face.image
        height, width = photo.shape[:2]
        if longest_side is None or longest_side == max(height, width):
            return cls(width, height, paster(photo, crop, still))
        scale = longest_side / max(height, width)
        new_width, new_height = max(2, round(width * scale)), max(2, round(height * scale))
        resized = _resized(photo, new_width, new_height)
        moved = _Square(crop.x * scale, crop.y * scale, crop.side * scale)
        return cls(new_width, new_height, paster(resized, moved, still))

    @classmethod
    def square(cls, side: int) -> "Canvas":
        """The crop alone."""
        return cls(side, side, None)

    def compose(self, animated: Image) -> Image:
        """One frame of the result, uint8 (height, width, 3), or as yuv420p, of an animated crop, uint8 (S, S, 3)."""
        if self._paster is not None:
            return self._paster.paste(animated)
        return animated if len(animated) == self.height else _resized(animated, self.width, self.height)


def _resized(image: Image, width: int, height: int) -> Image:
    shrinks = width < image.shape[1]
    resized: Image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized
