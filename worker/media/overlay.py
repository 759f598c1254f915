"""Animated crops laid over a photo, at the photo's own resolution.

A guided renderer says of each pixel how much of it is the source, moved, and from where: its picture is
mask * warped + (1 - mask) * colour. The network sees the source at 256 x 256, but the photo has more to show; so only
the second term is enlarged, and the first is read anew from the photo, which also has what lies around the crop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

FEATHER = 0.10  # width of the soft edge, in crop sides
BAND = 128  # rows laid at once, so that a large photo needs little memory beside itself
KEPT = 4_000_000  # numbers of the photo's share that are kept for the next frame
CUBIC = 400_000  # pixels up to which the photo is read by cubics; larger crops have detail to spare
OVERLAP = 2  # rows of neighbours that enlarging a band looks at

Floats = NDArray[np.float32]


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
    def of(
        cls, image: NDArray[np.uint8], still: NDArray[np.uint8], mask: Floats | None, places: Floats | None
    ) -> "Layer":
        """What an animated crop `image`, uint8 (S, S) or (S, S, C), makes of `still`, the crop before."""
        if mask is None or places is None:
            return cls(image.astype(np.float32))
        half = np.float32(len(still) / 2)
        where = (places + 1) * half - np.float32(0.5)
        moved = cv2.remap(still, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return cls(image - _times(moved, mask), mask, places)


class Overlay:
    """Lays crops over one photo, or over some planes of it; what is the same for all frames is computed once.

    A layer is first brought onto a grid whose cells cover whole numbers of the photo's pixels, from which enlarging is
    several times as fast as from any other.
    """

    def __init__(self, photo: NDArray[np.uint8], crop: Square, size: int, *, feather: bool = True) -> None:
        """The photo, uint8 (H, W) or (H, W, C); where the crop lies in it; the sides of layers in pixels.

        With `feather` the layer fades towards its edge, as the face is put back into the photo; else it covers.
        """
        self._photo, self._crop, self._size = photo, crop, size
        height, width = photo.shape[:2]
        self._cell = max(1, int(crop.side // size))  # photo pixels along the side of a cell
        left, top = int(np.floor(crop.x)), int(np.floor(crop.y))
        self._cells = (
            int(np.ceil((crop.x + crop.side - left) / self._cell)),
            int(np.ceil((crop.y + crop.side - top) / self._cell)),
        )
        self._left, self._top = left, top
        self._first, self._last = max(0, left), min(width, left + self._cells[0] * self._cell)
        self.columns = slice(self._first, self._last)
        self._height = height
        edge = smoothstep(edge_distance(size) / FEATHER) if feather else np.ones((size, size), np.float32)
        self._edge = np.clip(self._on_grid(edge, outside=cv2.BORDER_CONSTANT), 0, 1)
        pixels = self._cells[0] * self._cells[1] * self._cell**2
        self._keeps = pixels * (photo.size // (height * width)) <= KEPT
        self._kept: dict[int, Floats] = {}
        self._reading = cv2.INTER_CUBIC if pixels <= CUBIC else cv2.INTER_LINEAR

    def lay(self, layer: Layer) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """Rows of the photo and what they show between `columns`, uint8 (h, w) or (h, w, C), from top to bottom."""
        rest = _times(self._on_grid(self._fitted(layer.rest)), self._edge)
        mask = where = None
        if layer.mask is not None and layer.places is not None:
            mask = self._on_grid(self._fitted(layer.mask)) * self._edge
            half = self._crop.side / 2
            centre = np.array([self._crop.x + half - 0.5, self._crop.y + half - 0.5], np.float32)
            where = self._on_grid(layer.places * np.float32(half) + centre)
        step = max(1, BAND // self._cell)
        for start in range(0, self._cells[1], step):
            stop = min(start + step, self._cells[1])
            top, bottom = (max(0, min(self._height, self._top + row * self._cell)) for row in (start, stop))
            if top >= bottom:
                continue
            shown = self._band(rest, start, top, bottom, cv2.INTER_CUBIC)
            if mask is not None and where is not None:
                places = self._band(where, start, top, bottom)
                moved = cv2.remap(self._photo, places, None, self._reading, borderMode=cv2.BORDER_REPLICATE)
                shown = cv2.add(shown, _times(moved, self._band(mask, start, top, bottom)))
            yield slice(top, bottom), cv2.add(shown, self._behind(start, top, bottom), dtype=cv2.CV_8U)

    def _behind(self, start: int, top: int, bottom: int) -> Floats:
        """The photo's own share of its rows top..bottom."""
        behind = self._kept.get(top)
        if behind is None:
            edge = self._band(self._edge, start, top, bottom)
            behind = _times(self._photo[top:bottom, self.columns], 1 - edge)
            if self._keeps:
                self._kept[top] = behind
        return behind

    def _fitted(self, layer: Floats) -> Floats:
        """Blurred where the photo has fewer pixels than the layer."""
        scale = self._size / self._crop.side
        if scale <= 1:
            return layer
        blurred: Floats = cv2.GaussianBlur(layer, (0, 0), scale / 2)
        return blurred

    def _on_grid(self, layer: Floats, *, outside: int = cv2.BORDER_REPLICATE) -> Floats:
        """A picture of the crop on the grid of cells. Pixels' centres lie at +0.5 in both."""
        scale = self._size / self._crop.side
        step = self._cell * scale  # layer pixels along the side of a cell
        offset_x = (self._left - self._crop.x) * scale + step / 2 - 0.5
        offset_y = (self._top - self._crop.y) * scale + step / 2 - 0.5
        to_layer = np.array([[step, 0, offset_x], [0, step, offset_y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        gridded: Floats = cv2.warpAffine(layer, to_layer, self._cells, flags=flags, borderMode=outside)
        return gridded

    def _band(self, grid: Floats, start: int, top: int, bottom: int, how: int = cv2.INTER_LINEAR) -> Floats:
        """The photo's rows top..bottom of something on the grid; `start` is the first row of cells they lie in."""
        cell, left = self._cell, self._left
        low = max(0, start - OVERLAP)
        high = -(-(bottom - self._top) // cell) + OVERLAP
        part = grid[low:high]
        if cell > 1:
            part = cv2.resize(part, None, fx=cell, fy=cell, interpolation=how)
        above = self._top + low * cell
        band: Floats = part[top - above : bottom - above, self._first - left : self._last - left]
        return band


def edge_distance(size: int) -> Floats:
    """Distance of each pixel's centre from the square's edge, in sides, with rounded corners: (size, size)."""
    along = (np.arange(size, dtype=np.float32) + 0.5) / size
    inside = np.minimum(along, 1 - along)
    corner = 2 * FEATHER  # radius
    x, y = np.meshgrid(inside, inside)
    rounded = corner - np.hypot(np.maximum(corner - x, 0), np.maximum(corner - y, 0))
    return np.asarray(np.where(np.minimum(x, y) < corner, np.maximum(rounded, 0), np.minimum(x, y)), np.float32)


def _times(image: NDArray[Any], factor: Floats) -> Floats:
    """Pixels (H, W) or (H, W, C) by factors (H, W), in float32."""
    if image.ndim == factor.ndim:
        product: Floats = cv2.multiply(image, factor, dtype=cv2.CV_32F)
        return product
    return np.asarray(image * factor[:, :, None], np.float32)


def smoothstep(t: Floats) -> Floats:
    """0 up to 0, 1 from 1 on, level at both: 3t^2 - 2t^3 between."""
    clipped = np.clip(t, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), np.float32)
