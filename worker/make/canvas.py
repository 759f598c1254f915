"""What a frame of the result shows: the whole photo with the animated face in it, or the square crop alone."""

from typing import Protocol

import cv2
import numpy as np

from model.animation.composite import Composite, Layer
from model.arrays import Pixels
from model.engines import RenderedFrame
from model.face.crop import Crop
from worker.media.paste import Paster, PlanarPaster

BLUR = 1 / 16  # of a square's side: of what is shown beyond the photo
MARGIN = 1 / 8  # of a square's side: what the face may bring in from around it


class CutFace(Protocol):
    """Where a face was cut from the photo, and what was cut: uint8 (S, S, 3)."""

    @property
    def crop(self) -> Crop:
        """In photo pixels."""
        ...

    @property
    def image(self) -> Pixels:
        """The crop before animation."""
        ...


class Canvas(Protocol):
    """Puts animated crops into the result's frame, of `width` x `height` pixels."""

    width: int
    height: int

    def paste(self, animated: RenderedFrame) -> Pixels:
        """One frame of the result, uint8 (height, width, 3), or as yuv420p, with `animated` in its place."""
        ...


def whole_photo(photo: Pixels, face: CutFace, longest_side: int | None, *, planar: bool = False) -> Canvas:
    """The photo, uint8 (H, W, 3), shrunk or enlarged to `longest_side` pixels (None: as it is).

    With `planar` frames are composed for video: see `PlanarPaster`.
    """
    paster = PlanarPaster if planar else Paster
    crop, still = face.crop, face.image
    height, width = photo.shape[:2]
    if longest_side is None or longest_side == max(height, width):
        return paster(photo, crop, still)
    scale = longest_side / max(height, width)
    resized = _resized(photo, max(2, round(width * scale)), max(2, round(height * scale)))
    return paster(resized, crop.scaled(scale), still)


class SquareCrop:
    """The crop alone, of `side` x `side` pixels; it is made with a margin around it, which is not shown."""

    def __init__(self, photo: Pixels, face: CutFace, side: int) -> None:
        self.width = self.height = side
        margin = round(side * MARGIN)
        beyond = margin * face.crop.side / side
        around = Crop(face.crop.x - beyond, face.crop.y - beyond, face.crop.side + 2 * beyond)
        self._still = face.image
        self._shown = slice(margin, margin + side)
        self._picture = around.cut(photo, side + 2 * margin)
        self._composite = Composite(self._picture, Crop(margin, margin, side), len(face.image), fades=False)

    def paste(self, animated: RenderedFrame) -> Pixels:
        """One frame, uint8 (side, side, 3)."""
        image = self._picture.copy()
        for rows, pixels in self._composite.lay(Layer.of(animated.image, self._still, animated.mask, animated.places)):
            image[rows, self._composite.columns] = pixels
        return image[self._shown, self._shown]


class PhotoCrop(SquareCrop):
    """The same to be looked at: beyond the photo there is a blur, in place of its mirror image."""

    def __init__(self, photo: Pixels, face: CutFace, side: int) -> None:
        super().__init__(photo, face, side)
        crop, (height, width) = face.crop, photo.shape[:2]
        left, top, right, bottom = (
            round((edge - start) / crop.side * side)
            for edge, start in ((0, crop.x), (0, crop.y), (width, crop.x), (height, crop.y))
        )
        beyond = np.ones((side, side, 1), np.bool_)
        beyond[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = False
        self._beyond = beyond if beyond.any() else None
        self._blur = cv2.GaussianBlur(self._picture[self._shown, self._shown], (0, 0), side * BLUR)

    def paste(self, animated: RenderedFrame) -> Pixels:
        """One frame, uint8 (side, side, 3)."""
        image = super().paste(animated)
        if self._beyond is not None:
            np.copyto(image, self._blur, where=self._beyond)
        return image


def _resized(image: Pixels, width: int, height: int) -> Pixels:
    shrinks = width < image.shape[1]
    resized: Pixels = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized
