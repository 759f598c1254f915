"""Smoothing of a stream: of a video without lag, each value with its neighbours; live with little, by those before."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from model.arrays import Array, Landmarks

# Savitzky and Golay 1964: the least-squares parabola through five values, at the middle one. A linear or quadratic
# course, such as the start of a blink, passes unchanged.
PARABOLA = np.array([-3.0, 12.0, 17.0, 12.0, -3.0], dtype=np.float32) / 35.0

# Of landmarks in crop units. On clips of the corpus expressions are then 18 ms late and angles 21 ms, and about as
# steady as by the parabola; a line or parabola through five values that ends at the last one is no better, and shoots
# beyond where a lid or a lip stops.
LEAST_CUTOFF_HZ = 3.0
CUTOFF_PER_SPEED = 0.1  # Hz for each unit a second
SPEED_CUTOFF_HZ = 1.0


def smoothed(values: Iterable[Array]) -> Iterator[Array]:
    """Arrays of one shape, each replaced by the parabola's middle; the ends are repeated. Runs two values behind."""
    window: list[Array] = []
    for value in _padded(values, len(PARABOLA) // 2):
        window.append(value)
        if len(window) == len(PARABOLA):
            weighted: Array = np.tensordot(PARABOLA, np.stack(window), axes=1).astype(np.float32)
            yield weighted
            window.pop(0)


class OneEuroFilter:
    """Smoothing of points as they come, at times as uneven as may be: the slower a point moves, the more of it.

    Casiez, Roussel and Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
    Systems", CHI 2012; the speed is that of a point, not of each of its coordinates.
    """

    def __init__(self) -> None:
        self._at_s = -math.inf
        self._points = self._smooth = self._velocity = np.zeros(0, np.float32)

    def smooth(self, points: Landmarks, at_s: float) -> Landmarks:
        """Points (N, 3) seen `at_s` seconds since any moment, smoothed by those before. The first are left alone."""
        seconds = at_s - self._at_s
        if seconds == math.inf:
            self._smooth, self._velocity = points, np.zeros_like(points)
        elif seconds > 0:
            velocity = (points - self._points) / np.float32(seconds)
            self._velocity = self._velocity + _weight(SPEED_CUTOFF_HZ, seconds) * (velocity - self._velocity)
            speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
            weight = _weight(LEAST_CUTOFF_HZ + CUTOFF_PER_SPEED * speed, seconds)
            self._smooth = self._smooth + weight * (points - self._smooth)
        self._points, self._at_s = points, at_s
        return self._smooth


def _weight(cutoff_hz: Array | float, seconds: float) -> Array:
    """Of a value that comes so many seconds after the one before, in a low-pass filter of the first order."""
    turned = np.asarray(math.tau * seconds * cutoff_hz, np.float32)
    return np.asarray(turned / (1 + turned))


def _padded(values: Iterable[Array], count: int) -> Iterator[Array]:
    """The values with the first and the last `count` times more."""
    last = None
    for value in values:
        if last is None:
            yield from [value] * count
        last = value
        yield value
    if last is not None:
        yield from [last] * count
