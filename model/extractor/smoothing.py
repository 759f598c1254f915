"""Smoothing of a stream without lag: each value is seen with its neighbours before it is handed on."""

from collections.abc import Iterable, Iterator

import numpy as np

from model.arrays import Array

# Savitzky and Golay 1964: the least-squares parabola through five values, at the middle one. A linear or quadratic
# course, such as the start of a blink, passes unchanged.
PARABOLA = np.array([-3.0, 12.0, 17.0, 12.0, -3.0], dtype=np.float32) / 35.0


def smoothed(values: Iterable[Array]) -> Iterator[Array]:
    """Arrays of one shape, each replaced by the parabola's middle; the ends are repeated. Runs two values behind."""
    window: list[Array] = []
    for value in _padded(values, len(PARABOLA) // 2):
        window.append(value)
        if len(window) == len(PARABOLA):
            weighted: Array = np.tensordot(PARABOLA, np.stack(window), axes=1).astype(np.float32)
            yield weighted
            window.pop(0)


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
