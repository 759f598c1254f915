"""The gap between the lips, and how much of what a frame shows in it the portrait did not show."""

import cv2
import numpy as np

from model.arrays import Floats
from model.face.crop import CROP_UNITS
from model.face.topology import INNER_LIPS

CLOSED, OPEN = 0.02, 0.06  # area of the gap over the squared width of the mouth: closed up to, and open from
KEPT, LOST = 1.15, 1.5  # how often the portrait's own gap may be stretched before that is seen
_SUBPIXEL_BITS = 4


def gap(landmarks: Floats) -> float:
    """Area between the inner lips of landmarks (478, 3) over the squared width of the mouth; 0 where they overlap."""
    x, y = landmarks[list(INNER_LIPS), 0], landmarks[list(INNER_LIPS), 1]
    area = 0.5 * float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    return max(-area, 0.0) / float(np.linalg.norm(landmarks[61, :2] - landmarks[291, :2])) ** 2


def openness(gap: float) -> float:
    """0..1, how far there is something to see in a gap."""
    return ramp(gap, CLOSED, OPEN)


def newness(gap: float, shown: float) -> float:
    """0..1, how little of a gap the portrait's own, `shown`, tells."""
    return openness(gap) * ramp(gap, KEPT * shown, LOST * shown)


def between_lips(landmarks: Floats, value: float, side: int = CROP_UNITS) -> Floats:
    """A map (side, side) that is `value` between the inner lips of landmarks (478, 3), in its pixels, and 0 around."""
    cover = np.zeros((side, side), np.float32)
    outline = np.rint((landmarks[list(INNER_LIPS), :2] - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(cover, [outline], value, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    return cover


def ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on."""
    return float(np.clip((value - low) / max(high - low, 1e-6), 0.0, 1.0))
