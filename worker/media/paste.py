"""The animated square crop put back into the whole photo, without a visible seam."""

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.media.planes import planes, to_yuv

FEATHER = 0.10  # width of the soft edge, in crop sides
SEAM = 0.08  # the ring along the crop's edge where colours are compared, in crop sides
REACH = 0.10  # sigma of the blur that carries those colours inwards, in crop sides
TINT = 40.0  # grey levels up to which a difference of colour counts in full, or nearly so
COARSE = 64  # side of the grid on which colours are matched
BAND = 128  # rows blended at once, so that a large photo needs little memory beside itself
KEPT = 4_000_000  # pixels of the photo under a crop up to which the mask is kept for the next frame

Weights = tuple[NDArray[np.float32], NDArray[np.float32]]


class Square(Protocol):
    """Where the crop lies in the photo, in photo pixels; it may reach over the photo's edges."""

    @property
    def x(self) -> float:
        """Left edge."""
        ...

    @property
    def y(self) -> float:
        """Top edge."""
        ...

    @property
    def side(self) -> float:
        """Width and height."""
        ...


class Paster:
    """Pastes animated crops of one photo back into it; what is the same for all frames is computed once.

    The crop is laid over the photo through a mask that is 1 inside and falls smoothly to 0 at the crop's edge. Before
    that its colours are matched: the difference between the crop before and after animation, taken along the edge, is
    blurred, added and fades towards the middle. (Membrane interpolation, as in Perez et al., "Poisson image editing",
    SIGGRAPH 2003, with a Gaussian kernel in place of the harmonic one.)
    """

    def __init__(self, photo: NDArray[np.uint8], crop: Square, still: NDArray[np.uint8]) -> None:
        """Prepare for crops of `photo`, uint8 (H, W, 3); `still` is the crop as cut from it, uint8 (S, S, 3)."""
        self._photo = photo
        self._overlay = Overlay(photo.shape[:2], crop, len(still))

        # colours are matched on a coarse grid, since what is added is smooth
        self._still = self._coarse(still)
        edge = _edge_distance(COARSE)
        self._ring = (edge < SEAM).astype(np.float32)
        self._ring_weight = self._blur(self._ring) + 1e-3
        self._fade = 1 - _smoothstep(edge / (3 * REACH))

    def paste(self, animated: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The whole photo, uint8 (H, W, 3), with `animated`, uint8 (S, S, 3), in its place."""
        image = self._photo.copy()
        self._overlay.lay(image, self.matched(animated))
        return image

    def matched(self, animated: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An animated crop, uint8 (S, S, 3), whose colours at the edge are the photo's."""
        difference = self._still - self._coarse(animated)
        difference /= 1 + (difference / TINT) ** 2  # small ones are tints, large ones things that have moved
        spread = self._blur(difference * self._ring[:, :, None]) / self._ring_weight[:, :, None]
        size = animated.shape[1], animated.shape[0]
        correction = cv2.resize(spread * self._fade[:, :, None], size, interpolation=cv2.INTER_LINEAR)
        matched: NDArray[np.uint8] = cv2.add(animated, correction, dtype=cv2.CV_8U)
        return matched

    @staticmethod
    def _coarse(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        coarse: NDArray[np.float32] = cv2.resize(
            image.astype(np.float32), (COARSE, COARSE), interpolation=cv2.INTER_AREA
        )
        return coarse

    @staticmethod
    def _blur(image: NDArray[np.float32]) -> NDArray[np.float32]:
        blurred: NDArray[np.float32] = cv2.GaussianBlur(image, (0, 0), REACH * COARSE, borderType=cv2.BORDER_CONSTANT)
        return blurred


class PlanarPaster(Paster):
    """The same in the colours of video: luma whole, chroma at half the sides, as the encoder takes them.

    Only the crop is converted for each frame, the rest of the photo but once. An odd last row or column is left out.
    """

    def __init__(self, photo: NDArray[np.uint8], crop: Square, still: NDArray[np.uint8]) -> None:
        """As for `Paster`."""
        height, width = (side // 2 * 2 for side in photo.shape[:2])
        super().__init__(photo[:height, :width], crop, still)
        self._planar = to_yuv(self._photo, "yuv420p")
        half = _Half(crop.x / 2, crop.y / 2, crop.side / 2)
        self._chroma = Overlay((height // 2, width // 2), half, len(still))

    def paste(self, animated: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The whole photo, uint8 (H * 3 / 2, W): the planes Y, U and V one after the other."""
        image = self._planar.copy()
        layers = to_yuv(self.matched(animated), "yuv444p")
        for plane, layer, overlay in zip(
            planes(image), layers, (self._overlay, self._chroma, self._chroma), strict=True
        ):
            overlay.lay(plane, layer)
        return image


@dataclass(frozen=True)
class _Half:
    x: float
    y: float
    side: float


class Overlay:
    """Lays pictures of a crop over pictures of one size, through a soft mask."""

    def __init__(self, shape: tuple[int, int], crop: Square, size: int) -> None:
        """Rows and columns of the pictures; where the crop lies in them, and its own side in pixels."""
        height, width = shape
        top, bottom = max(0, int(np.floor(crop.y))), min(height, int(np.ceil(crop.y + crop.side)))
        self._left, self._right = max(0, int(np.floor(crop.x))), min(width, int(np.ceil(crop.x + crop.side)))
        self._bands = [(start, min(start + BAND, bottom)) for start in range(top, bottom, BAND)]
        self._crop = crop
        self._mask = _smoothstep(_edge_distance(size) / FEATHER)
        self._keeps = (bottom - top) * (self._right - self._left) <= KEPT
        self._kept: dict[int, Weights] = {}

    def lay(self, image: NDArray[np.uint8], layer: NDArray[np.uint8]) -> None:
        """Change `image`, uint8 (H, W) or (H, W, C), where the crop lies; `layer` is uint8 (S, S) or (S, S, C)."""
        scale = len(layer) / self._crop.side  # crop pixels in a pixel of the image
        if scale > 1:
            layer = cv2.GaussianBlur(layer, (0, 0), scale / 2)
        # Twice the size by cubics, the rest bilinearly: as smooth as cubics alone, and several times as fast.
        fine = cv2.resize(layer, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        for top, bottom in self._bands:
            region = image[top:bottom, self._left : self._right]
            region[:] = cv2.blendLinear(self._resample(fine, top, bottom), region, *self._weights(top, bottom))

    def _weights(self, top: int, bottom: int) -> Weights:
        """How much of the crop and of the photo is seen in the photo's rows top..bottom."""
        weights = self._kept.get(top)
        if weights is None:
            mask = np.clip(self._resample(self._mask, top, bottom), 0, 1)
            weights = mask, 1 - mask
            if self._keeps:
                self._kept[top] = weights
        return weights

    def _resample(self, layer: NDArray[Any], top: int, bottom: int) -> NDArray[Any]:
        """A picture of the crop, of any size, at the photo's rows top..bottom. Pixels' centres lie at +0.5 in both."""
        scale, crop = len(layer) / self._crop.side, self._crop
        to_layer = np.array(
            [
                [scale, 0, (self._left + 0.5 - crop.x) * scale - 0.5],
                [0, scale, (top + 0.5 - crop.y) * scale - 0.5],
            ]
        )
        resampled: NDArray[Any] = cv2.warpAffine(
            layer,
            to_layer,
            (self._right - self._left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return resampled


def _edge_distance(size: int) -> NDArray[np.float32]:
    """Distance of each pixel's centre from the square's edge, in sides, with rounded corners: (size, size)."""
    along = (np.arange(size, dtype=np.float32) + 0.5) / size
    inside = np.minimum(along, 1 - along)
    corner = 2 * FEATHER  # radius
    x, y = np.meshgrid(inside, inside)
    rounded = corner - np.hypot(np.maximum(corner - x, 0), np.maximum(corner - y, 0))
    return np.asarray(np.where(np.minimum(x, y) < corner, np.maximum(rounded, 0), np.minimum(x, y)), np.float32)


def _smoothstep(t: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(t, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), np.float32)
