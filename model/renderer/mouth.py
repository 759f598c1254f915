"""The inside of a mouth that the portrait keeps closed.

No warp can bring what the source does not show: opening closed lips only stretches them. The editing network is there
to paint it, and the released one has not seen enough to do so. So the gap is shaded here, where the portrait has none.
"""

from __future__ import annotations

import cv2
import numpy as np

from model.extractor.topology import INNER_LIPS, OUTER_LIPS

CLOSED, OPEN = 0.02, 0.06  # area of the gap between the lips over the squared width of the mouth
SHADE = 0.28  # brightness of the cavity relative to the lips
DEPTH = 0.9  # how far the shade hides the stretched lips
SOFTNESS = 1.2  # pixels


def shade_mouths(frames: np.ndarray, source: np.ndarray, target: np.ndarray, portrait: np.ndarray) -> np.ndarray:
    """Frames (B, 256, 256, 3) uint8 with newly opened mouths dark inside.

    Args:
        frames: rendered pictures; changed in place and returned.
        source: landmarks (478, 3) of the portrait, in pixels.
        target: landmarks (B, 478, 3) of the frames.
        portrait: the source picture (256, 256, 3).
    """
    closed = 1.0 - _openness(source)
    colour = SHADE * _lip_colour(portrait, source)
    for frame, landmarks in zip(frames, target, strict=True):
        newness = closed * _openness(landmarks)
        if newness == 0.0:
            continue
        cover = np.zeros(frame.shape[:2], np.float32)
        cv2.fillPoly(cover, [_outline(landmarks, INNER_LIPS)], DEPTH * newness, lineType=cv2.LINE_AA, shift=4)
        cover = cv2.GaussianBlur(cover, (0, 0), SOFTNESS)[..., None]
        frame[:] = np.rint(frame + cover * (colour - frame)).astype(np.uint8)
    return frames


def _outline(landmarks: np.ndarray, loop: tuple[int, ...]) -> np.ndarray:
    return np.rint((landmarks[list(loop), :2] - 0.5) * 16).astype(np.int32)


def _openness(landmarks: np.ndarray) -> float:
    """0 for a mouth that shows nothing of its inside, 1 for one that clearly does."""
    x, y = landmarks[list(INNER_LIPS), 0], landmarks[list(INNER_LIPS), 1]
    area = 0.5 * float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    width = float(np.linalg.norm(landmarks[61, :2] - landmarks[291, :2]))
    return float(np.clip((abs(area) / width**2 - CLOSED) / (OPEN - CLOSED), 0.0, 1.0))


def _lip_colour(portrait: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Mean colour (3,) between the outer and the inner outline of the lips."""
    lips = np.zeros(portrait.shape[:2], np.uint8)
    cv2.fillPoly(lips, [_outline(landmarks, OUTER_LIPS)], 1, shift=4)
    cv2.fillPoly(lips, [_outline(landmarks, INNER_LIPS)], 0, shift=4)
    if not lips.any():
        return np.zeros(3, np.float32)
    return portrait[lips > 0].mean(0).astype(np.float32)
