"""Animated crops laid over a photo, at the photo's own resolution.

A guided renderer says of each pixel how much of it is the source, moved, and from where: see `RenderedFrame`. The
network sees the source at `RendererConfig.size`, but the photo has more to show; so only the rest, what is painted or
completed, is enlarged, and what is moved is read anew from the photo, which also has what lies around the crop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Self

import cv2
import numpy as np

from model.arrays import Array, Floats, Frames, Pixels
from model.engines import RenderedFrames
from model.face.crop import Crop

FEATHER = 0.10  # width of the soft edge, in crop sides
WITHIN, BEYOND = 0.06, 0.14  # how far in and outside of the crop's edge movement fades, in crop sides
SURE = 0.9  # of the mask: from here on only what is moved is shown
BAND = 128  # rows laid at once, so that a large photo needs little memory beside itself
CUBIC = 400_000  # larger crops have detail to spare
OVERLAP = 2  # rows of neighbours that enlarging a band looks at


@dataclass(frozen=True, eq=False)
class Layer:
    """An animated crop: `rest` + `mask` * the photo at `places`.

    rest (S, S) or (S, S, C), in grey levels. mask (S, S), 0..1, and places (S, S, 2), where in the crop each pixel
    was read, -1 and 1 being its edges; both None where everything is in `rest`.
    """

    rest: Floats
    mask: Floats | None = None
    places: Floats | None = None

    @classmethod
    def of(cls, image: Pixels, still: Pixels, mask: Floats | None, places: Floats | None) -> Self:
        """What an animated crop `image`, uint8 (S, S) or (S, S, C), makes of `still`, the crop before.

        A renderer hedges: where it is not sure of the movement it mixes in some paint, in which old edges shine
        through. That is nearest in the mean, but a picture is seen by itself, softer than real ones and in places
        double; so a tint of paint is left out. With SURE as it is held-out people look as sharp as they are (1.01 of
        the variance of the Laplacian, 0.58 as rendered), for 0.4 dB.
        """
        if mask is None or places is None:
            return cls(image.astype(np.float32))
        half = np.float32(len(still) / 2)
        where = (places + 1) * half - np.float32(0.5)
        moved = cv2.remap(still, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        surer = np.minimum(mask / np.float32(SURE), 1)
        painted = (1 - surer) / np.maximum(1 - mask, np.float32(1e-3))
        return cls(_times(image - _times(moved, mask), painted), surer, places)


class Composite:
    """Lays crops over one photo, or over some planes of it; what is the same for all frames is computed once.

    What is painted fades towards the crop's edge. What is moved does not: there the movement itself fades, over the
    edge and beyond it, so that a head that reaches out of the crop bends a little and is nowhere seen twice.

    A layer is first brought onto a grid whose cells cover whole numbers of the photo's pixels, from which enlarging is
    several times as fast as from any other.
    """

    def __init__(self, photo: Pixels, crop: Crop, size: int, *, fades: bool = True, cubic: int = CUBIC) -> None:
        """The photo, uint8 (H, W) or (H, W, C); where the crop lies in it; the sides of layers in pixels.

        Unless it `fades`, a layer covers the crop and what it moves goes on moving beyond. The photo is read by cubics
        where no more pixels than `cubic` are laid, else bilinearly.
        """
        self._photo, self._crop, self._size = photo, crop, size
        self._height, self._width = photo.shape[:2]
        self._cell = max(1, int(crop.side // size))  # photo pixels along the side of a cell
        reach = crop.side * BEYOND + self._cell  # the outermost cells are only looked at by their neighbours
        self._left, self._top = int(np.floor(crop.x - reach)), int(np.floor(crop.y - reach))
        self._cells = (
            int(np.ceil((crop.x + crop.side + reach - self._left) / self._cell)),
            int(np.ceil((crop.y + crop.side + reach - self._top) / self._cell)),
        )
        self.columns = slice(
            max(0, self._left + self._cell), min(self._width, self._left + (self._cells[0] - 1) * self._cell)
        )
        centres = (
            start + (np.arange(count, dtype=np.float32) + 0.5) * self._cell
            for start, count in zip((self._left, self._top), self._cells, strict=True)
        )
        x, y = np.meshgrid(*centres)  # of the cells, in photo pixels
        # Nothing is moved from further away than a crop's side; and what is read must be less than 32768 pixels wide.
        far_left, far_top = (max(0, round(edge - crop.side)) for edge in (crop.x, crop.y))
        far_right, far_bottom = (max(1, round(edge + 2 * crop.side)) for edge in (crop.x, crop.y))
        self._around = photo[far_top:far_bottom, far_left:far_right]
        self._own_places = np.dstack((x - 0.5 - far_left, y - 0.5 - far_top))
        x, y = (x - crop.x) / crop.side, (y - crop.y) / crop.side
        inside = edge_distance(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
        pixels = self._cells[0] * self._cells[1] * self._cell**2
        self._reading = cv2.INTER_CUBIC if pixels <= cubic else cv2.INTER_LINEAR
        self._painted = smoothstep(inside / FEATHER) if fades else np.ones_like(inside)
        self._moved = smoothstep((inside + BEYOND) / (BEYOND + WITHIN)) if fades else self._painted

    def lay(self, layer: Layer) -> Iterator[tuple[slice, Pixels]]:
        """Rows of the photo and what they show between `columns`, uint8 (h, w) or (h, w, C), from top to bottom."""
        rest = _times(self._on_grid(self._fitted(layer.rest)), self._painted)
        mask, places = 1 - self._painted, None
        if layer.mask is not None and layer.places is not None:
            mask += self._on_grid(self._fitted(layer.mask)) * self._painted
            half = np.float32(self._crop.side / 2)
            shift = self._on_grid((layer.places - _centres(self._size)) * half)
            places = _times(shift, self._moved) + self._own_places
        step = max(1, BAND // self._cell)
        for start in range(1, self._cells[1] - 1, step):
            top = max(0, self._top + start * self._cell)
            bottom = min(self._height, self._top + min(start + step, self._cells[1] - 1) * self._cell)
            if top >= bottom:
                continue
            photo = self._photo[top:bottom, self.columns]
            if places is not None:
                where = self._band(places, start, top, bottom)
                photo = cv2.remap(self._around, where, None, self._reading, borderMode=cv2.BORDER_REPLICATE)
            shown = _times(photo, self._band(mask, start, top, bottom))
            painted = self._band(rest, start, top, bottom, cv2.INTER_CUBIC)
            yield slice(top, bottom), cv2.add(shown, painted, dtype=cv2.CV_8U)

    def _fitted(self, layer: Floats) -> Floats:
        """Blurred where the photo has fewer pixels than the layer."""
        scale = self._size / self._crop.side
        if scale <= 1:
            return layer
        blurred: Floats = cv2.GaussianBlur(layer, (0, 0), scale / 2)
        return blurred

    def _on_grid(self, layer: Floats) -> Floats:
        """A picture of the crop on the grid of cells. Pixels' centres lie at +0.5 in both."""
        scale = self._size / self._crop.side
        step = self._cell * scale  # layer pixels along the side of a cell
        offset_x = (self._left - self._crop.x) * scale + step / 2 - 0.5
        offset_y = (self._top - self._crop.y) * scale + step / 2 - 0.5
        to_layer = np.array([[step, 0, offset_x], [0, step, offset_y]])
        gridded: Floats = cv2.warpAffine(
            layer,
            to_layer,
            self._cells,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return gridded

    def _band(self, grid: Floats, start: int, top: int, bottom: int, how: int = cv2.INTER_LINEAR) -> Floats:
        """The photo's rows top..bottom of something on the grid; `start` is the first row of cells they lie in."""
        cell = self._cell
        low = max(0, start - OVERLAP)
        high = -(-(bottom - self._top) // cell) + OVERLAP
        part = grid[low:high]
        if cell > 1:
            part = cv2.resize(part, None, fx=cell, fy=cell, interpolation=how)
        above = self._top + low * cell
        band: Floats = part[
            top - above : bottom - above, self.columns.start - self._left : self.columns.stop - self._left
        ]
        return band


def composed(still: Pixels, frames: RenderedFrames) -> Frames:
    """Pictures (B, S, S, 3) uint8 as they are shown, of a portrait that is no larger than its crop `still`."""
    composite = Composite(still, Crop(0, 0, len(still)), len(still), fades=False)
    pictures = np.empty_like(frames.images)
    for picture, frame in zip(pictures, frames, strict=True):
        for rows, pixels in composite.lay(Layer.of(frame.image, still, frame.mask, frame.places)):
            picture[rows] = pixels
    return pictures


def edge_distance(x: Floats, y: Floats) -> Floats:
    """Distance from the edge of a square with rounded corners, in sides, of points `x` and `y` from their next edges.

    Negative outside; any shape.
    """
    corner = 2 * FEATHER  # radius
    rounded = corner - np.hypot(np.maximum(corner - x, 0), np.maximum(corner - y, 0))
    nearest = np.minimum(x, y)
    return np.asarray(np.where(nearest < corner, rounded, nearest), np.float32)


@cache
def _centres(size: int) -> Floats:
    """Places (S, S, 2) of the pixels of a crop that is not moved."""
    along = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
    return np.dstack(np.meshgrid(along, along))


def _times(image: Array, factor: Floats) -> Floats:
    """Pixels (H, W) or (H, W, C) by factors (H, W), in float32."""
    if image.ndim > factor.ndim:
        factor = cv2.merge([factor] * image.shape[2])
    product: Floats = cv2.multiply(image, factor, dtype=cv2.CV_32F)
    return product


def smoothstep(t: Floats) -> Floats:
    """0 up to 0, 1 from 1 on, level at both: 3t^2 - 2t^3 between."""
    clipped = np.clip(t, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), np.float32)
