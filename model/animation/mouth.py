"""The inside of a mouth that the portrait keeps closed, or shows too little of.

No warp can bring what the source does not show: opening closed lips only stretches them, and parted lips the teeth
between them. The editing network is there to paint it, and the released one has not seen enough to do so. What the
portrait does show between its lips keeps its shape and hangs from the skull, as upper teeth do. Where there is nothing
of it a plain inside is drawn: a dark cavity, the tongue's hint of red below and, if the portrait keeps its lips closed,
the upper teeth, as high as ever however far the jaw drops. The mean of real mouths was tried instead: teeth lie in
another place in each, and blur to a pink film.
"""

import cv2
import numpy as np

from model.arrays import Array, Landmarks, Pixels
from model.engines import RenderedFrame, RenderedFrames
from model.face.crop import CROP_UNITS
from model.renderer.prior.gap import between_lips, gap, newness, openness

DEPTH = 0.95  # how far the inside hides the stretched lips
SOFTNESS = 0.8  # pixels

# Colours as shares of the face's light, see `_light`; lengths as shares of the mouth's width.
TEETH, CAVITY, TONGUE = np.array([0.90, 0.85, 0.78]), np.array([0.16, 0.09, 0.09]), np.array([0.42, 0.21, 0.21])
TEETH_HEIGHT, TEETH_EDGE = 0.13, 0.02
LOWEST_TEETH = 0.6  # of the gap's height: below them it is dark
BETWEEN_TEETH = np.array([0.0, 0.32, 0.57, 0.76])  # from the middle of the mouth to its corner
ROUNDNESS = 0.02
TEETH_SPAN = 0.86  # of the gap's width, over which the row of teeth bends out of sight
LIP_SHADOW = 0.05  # how far the upper lip darkens what is below it

_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)  # inner lips from corner to corner
_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_LIP = 13  # the middle of the upper one, inside
_SKULL = [1, 4, 5, 6, 168, 195, 197, 98, 327, 2, 9, 8, 117, 346, 123, 352]  # what no expression moves much
_FACE = (10, 284, 454, 397, 152, 172, 234, 54)


class Mouth:
    """A portrait's mouth: what is made of it once, to give the mouths that open in its pictures an inside."""

    def __init__(self, portrait: Pixels, landmarks: Landmarks) -> None:
        """portrait (S, S, 3) uint8; its landmarks (478, 3) in crop units."""
        self._scale = np.float32(len(portrait) / CROP_UNITS)
        landmarks = landmarks * self._scale  # pixels from here on
        self._side, self._shown, self._light = len(portrait), gap(landmarks), _light(portrait, landmarks)
        self._of_own = openness(self._shown)  # how much of the portrait's own inside is worth showing
        self._own = _Inside(portrait, landmarks) if self._of_own > 0 else None

    def paint(self, frames: RenderedFrames, target: Landmarks) -> None:
        """Give newly opened mouths an inside, of which nothing is the source's.

        Args:
            frames: rendered pictures of S x S; images, masks and places are changed.
            target: landmarks (B, 478, 3) of the frames, in crop units.
        """
        for frame, landmarks in zip(frames, target * self._scale, strict=True):  # each shares its memory with the batch
            self._paint(frame, landmarks)

    def _paint(self, frame: RenderedFrame, landmarks: Landmarks) -> None:
        new = newness(gap(landmarks), self._shown)
        if new == 0.0:
            return
        cover = cv2.GaussianBlur(between_lips(landmarks, DEPTH * new, self._side), (0, 0), SOFTNESS)
        rows, columns = np.nonzero(cover > 1e-3)
        share, points = cover[rows, columns], np.stack([columns, rows], -1) + 0.5
        inside = self._light * _inside(landmarks, points, teeth=1 - self._of_own)
        kept = np.zeros_like(share)
        if self._own is not None:
            colours, seen, places = self._own.at(landmarks, points)
            seen = self._of_own * seen
            inside += seen[:, None] * (colours - inside)
            kept = share * seen
        pixels = frame.image[rows, columns]
        frame.image[rows, columns] = np.rint(pixels + share[:, None] * (inside - pixels)).astype(np.uint8)
        if frame.mask is None or frame.places is None:
            return
        frame.mask[rows, columns] *= 1 - share
        if self._own is not None:
            most = kept > 0.5  # a pixel has one place: that of what is seen most
            frame.mask[rows[most], columns[most]] = kept[most]
            frame.places[rows[most], columns[most]] = places[most]


class _Inside:
    """What a portrait shows between its lips."""

    def __init__(self, portrait: Pixels, landmarks: Landmarks) -> None:
        """portrait (S, S, 3) uint8; its landmarks (478, 3) in pixels."""
        self._images = portrait, cv2.GaussianBlur(between_lips(landmarks, 1.0, len(portrait)), (0, 0), SOFTNESS)
        self._half = len(portrait) / 2
        points = landmarks[:, :2]
        self._middle, self._skull = points[_LIP], points[_SKULL] - points[_SKULL].mean(0)
        across = points[_UPPER[-1]] - points[_UPPER[0]]
        across = across / max(float(np.linalg.norm(across)), 1.0)
        self._axes = np.stack([across, (-across[1], across[0])], 1)  # along the mouth, and down from there
        self._lip = (points[list(_UPPER)] - points[_LIP]) @ self._axes

    def at(self, target: Landmarks, points: Array) -> tuple[Array, Array, Array]:
        """Colours (n, 3), how far there is something to see (n,), 0..1, and where it is (n, 2), -1..1.

        At points (n, 2), in pixels, of a frame with landmarks `target` (478, 3). It moves as the skull does, by the
        best affine map of what no expression moves much, but stays below the upper lip.
        """
        here = target[:, :2]
        to_source, *_ = np.linalg.lstsq(here[_SKULL] - here[_SKULL].mean(0), self._skull)
        moved = (points - here[_LIP]) @ to_source @ self._axes
        moved_lip = (here[list(_UPPER)] - here[_LIP]) @ to_source @ self._axes
        for lip, sign in ((self._lip, 1), (moved_lip, -1)):
            moved[:, 1] += sign * np.interp(moved[:, 0], np.maximum.accumulate(lip[:, 0]), lip[:, 1])
        places = self._middle + moved @ self._axes.T
        where = (places - 0.5).astype(np.float32)[None]
        read = [cv2.remap(image, where, None, cv2.INTER_LINEAR)[0] for image in self._images]
        return read[0].astype(np.float64), read[1], (places / self._half - 1).astype(np.float32)


def _inside(landmarks: Landmarks, points: Array, *, teeth: float) -> Array:
    """Colour (n, 3), as shares of the face's light, of the mouth's inside at points (n, 2) in pixels.

    teeth: how much of them is seen, 0..1.
    """
    left, right = landmarks[_UPPER[0], :2], landmarks[_UPPER[-1], :2]
    width = max(float(np.linalg.norm(right - left)), 1.0)
    across = (right - left) / width
    axes = np.stack([across, (-across[1], across[0])]) / width  # from corner to corner, and down from there
    along, down = ((points - left) @ axes.T).T
    upper, lower = ((landmarks[list(loop), :2] - left) @ axes.T for loop in (_UPPER, _LOWER))
    top, bottom = (np.interp(along, np.maximum.accumulate(line[:, 0]), line[:, 1]) for line in (upper, lower))
    below_lip, height = down - top, np.maximum(bottom - top, 1e-3)
    bend = np.clip(np.abs(2 * along - 1) / TEETH_SPAN, 0.0, 1.0)  # 0 in the middle, 1 where the row ends
    edge = np.minimum(TEETH_HEIGHT, LOWEST_TEETH * height) * (1.0 - bend**4)
    between = np.abs(np.abs(2 * along - 1)[:, None] - BETWEEN_TEETH).min(1)
    edge -= ROUNDNESS * np.exp(-((between / 0.04) ** 2))  # each tooth's corners are round
    covers = teeth * np.clip((edge - below_lip) / TEETH_EDGE + 0.5, 0.0, 1.0)[:, None]
    shade = (1.0 - 0.6 * bend**2) * np.clip(0.7 + 0.3 * below_lip / LIP_SHADOW, 0.7, 1.0)
    shade *= 1.0 - 0.25 * np.exp(-((between / 0.02) ** 2))
    depth = np.clip(below_lip / height, 0.0, 1.0)[:, None] ** 3
    behind = CAVITY + depth * (1.0 - bend[:, None] ** 2) * (TONGUE - CAVITY)
    colour: Array = behind + covers * (shade[:, None] * TEETH - behind)
    return colour


def _outline(landmarks: Landmarks, loop: tuple[int, ...]) -> Array:
    return np.rint((landmarks[list(loop), :2] - 0.5) * 16).astype(np.int32)


def _light(portrait: Pixels, landmarks: Landmarks) -> Array:
    """Colour (3,) of the face's light: halfway from grey to skin, as bright as the brightest tenth of the face."""
    face = np.zeros(portrait.shape[:2], np.uint8)
    cv2.fillPoly(face, [_outline(landmarks, _FACE)], 1, shift=4)
    pixels = portrait[face > 0] if face.any() else portrait.reshape(-1, 3)
    brightness = np.percentile(pixels @ np.array([0.299, 0.587, 0.114]), 90)
    colour: Array = 0.5 * (brightness + np.percentile(pixels, 90, axis=0))
    return colour
