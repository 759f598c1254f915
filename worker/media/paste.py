"""The animated square crop put back into the whole photo, without a visible seam."""

import cv2
import numpy as np

from model.animation.composite import Composite, Layer, edge_distance, smoothstep
from model.arrays import Floats, Pixels
from model.engines import RenderedFrame
from model.face.crop import Crop
from worker.media.planes import planes, to_yuv

SEAM = 0.08  # the ring along the crop's edge where colours are compared, in crop sides
REACH = 0.10  # sigma of the blur that carries those colours inwards, in crop sides
TINT = 40.0  # grey levels up to which a difference of colour counts in full, or nearly so
COARSE = 64  # side of the grid on which colours are matched


class Paster:
    """Pastes animated crops of one photo back into it; what is the same for all frames is computed once.

    What a renderer moves is read from the photo itself, so its colours are the photo's: see `Composite`. A picture that
    is painted altogether is laid over the photo through a mask that falls smoothly to 0 at the crop's edge, and its
    colours are matched before: the difference between the crop before and after animation, taken along the edge, is
    blurred, added and fades towards the middle. (Membrane interpolation, as in Perez et al., "Poisson image editing",
    SIGGRAPH 2003, with a Gaussian kernel in place of the harmonic one.)
    """

    def __init__(self, photo: Pixels, crop: Crop, still: Pixels) -> None:
        """Prepare for crops of `photo`, uint8 (H, W, 3); `still` is the crop as cut from it, uint8 (S, S, 3)."""
        self.height, self.width = photo.shape[:2]
        self._photo = photo
        self._still = still
        self._composite = Composite(photo, crop, len(still))

        # colours are matched on a coarse grid, since what is added is smooth
        self._coarse_still = self._coarse(still)
        along = (np.arange(COARSE, dtype=np.float32) + 0.5) / COARSE
        edge = edge_distance(*np.meshgrid(*[np.minimum(along, 1 - along)] * 2))
        self._ring = (edge < SEAM).astype(np.float32)
        self._ring_weight = self._blur(self._ring) + 1e-3
        self._fade = 1 - smoothstep(edge / (3 * REACH))

    def paste(self, animated: RenderedFrame) -> Pixels:
        """The whole photo, uint8 (H, W, 3), with `animated`, of S x S pixels, in its place."""
        image = self._photo.copy()
        layer = Layer.of(self.matched(animated), self._still, animated.mask, animated.places)
        for rows, pixels in self._composite.lay(layer):
            image[rows, self._composite.columns] = pixels
        return image

    def matched(self, animated: RenderedFrame) -> Pixels:
        """An animated crop, uint8 (S, S, 3), whose colours at the edge are the photo's."""
        if animated.mask is not None:
            return animated.image
        difference = self._coarse_still - self._coarse(animated.image)
        difference /= 1 + (difference / TINT) ** 2  # small ones are tints, large ones things that have moved
        spread = self._blur(difference * self._ring[:, :, None]) / self._ring_weight[:, :, None]
        size = animated.image.shape[1], animated.image.shape[0]
        correction = cv2.resize(spread * self._fade[:, :, None], size, interpolation=cv2.INTER_LINEAR)
        matched: Pixels = cv2.add(animated.image, correction, dtype=cv2.CV_8U)
        return matched

    @staticmethod
    def _coarse(image: Pixels) -> Floats:
        coarse: Floats = cv2.resize(image.astype(np.float32), (COARSE, COARSE), interpolation=cv2.INTER_AREA)
        return coarse

    @staticmethod
    def _blur(image: Floats) -> Floats:
        blurred: Floats = cv2.GaussianBlur(image, (0, 0), REACH * COARSE, borderType=cv2.BORDER_CONSTANT)
        return blurred


class PlanarPaster(Paster):
    """The same in the colours of video: luma whole, chroma at half the sides, as the encoder takes them.

    Only the crop is converted for each frame, the rest of the photo but once. An odd last row or column is left out.
    """

    def __init__(self, photo: Pixels, crop: Crop, still: Pixels) -> None:
        """As for `Paster`."""
        height, width = (side // 2 * 2 for side in photo.shape[:2])
        super().__init__(photo[:height, :width], crop, still)
        self._planar = to_yuv(self._photo)
        luma, *chroma = planes(self._planar)
        self._luma = Composite(luma, crop, len(still))
        self._chroma = Composite(np.dstack(chroma), crop.scaled(1 / 2), len(still) // 2, cubic=0)
        self._still_luma, self._still_chroma = _apart(still)

    def paste(self, animated: RenderedFrame) -> Pixels:
        """The whole photo, uint8 (H * 3 / 2, W): the planes Y, U and V one after the other."""
        image = self._planar.copy()
        luma, *chroma = planes(image)
        crop_luma, crop_chroma = _apart(self.matched(animated))
        mask, places = animated.mask, animated.places
        for rows, pixels in self._luma.lay(Layer.of(crop_luma, self._still_luma, mask, places)):
            luma[rows, self._luma.columns] = pixels
        if mask is not None and places is not None:
            mask, places = _halved(mask), _halved(places)
        for rows, pixels in self._chroma.lay(Layer.of(crop_chroma, self._still_chroma, mask, places)):
            for plane, of_plane in zip(chroma, cv2.split(pixels), strict=True):
                plane[rows, self._chroma.columns] = of_plane
        return image


def _apart(crop: Pixels) -> tuple[Pixels, Pixels]:
    """Luma (S, S) and chroma (S / 2, S / 2, 2) of a crop (S, S, 3) in RGB."""
    luma, *chroma = planes(to_yuv(crop))
    return luma, np.dstack(chroma)


def _halved(layer: Floats) -> Floats:
    half: Floats = cv2.resize(layer, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return half
