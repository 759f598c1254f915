"""Whether a figure grows: a line through its second half, and how sure that line is."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 10  # samples, to say anything
SURE = 3.0  # standard errors that growth is from none
LEAST = {"MiB": 3.0, "bytes": 1000.0}  # growth an hour that is told, by words of names; of all else:
LEAST_OTHERS = 1.0
# They grow as long as jobs expire or keys last, and are bounded by their age, or by rewriting the log.
BOUNDED_BY_AGE = (
    *("Redis: MiB", "Redis keys: with an end", "Redis keys: expired jobs", "MiB of Redis' log of writes"),
    "Redis: MiB resident",
    "Redis: MiB of its own",
)


@dataclass(frozen=True)
class Trend:
    """Growth in an hour, its standard error, and what that comes to."""

    per_hour: float
    error: float
    verdict: str


def trend(name: str, hours: Sequence[float], values: Sequence[float]) -> Trend:
    """Of a figure that was looked at at these times, from their middle on."""
    half = len(hours) // 2
    slope, error = fitted(hours[half:], values[half:])
    if name in BOUNDED_BY_AGE:
        verdict = "bounded by age"
    elif len(hours) - half < FEWEST:
        verdict = "too few samples"
    elif slope > least(name) and slope > SURE * error:
        verdict = f"grows {slope:.3g} an hour"
    else:
        verdict = "flat"
    return Trend(slope, error, verdict)


def least(name: str) -> float:
    """Growth an hour of this figure that is too small to tell of."""
    return next((each for word, each in LEAST.items() if word in name), LEAST_OTHERS)


def fitted(times: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Slope of the line of least squares, and its standard error.

    What is left beside the line is often alike from one sample to the next; such samples count as fewer.
    """
    count = len(times)
    if count < 3:
        return 0.0, math.inf
    middle, mean = sum(times) / count, sum(values) / count
    spread = sum((time - middle) ** 2 for time in times)
    slope = sum((time - middle) * (value - mean) for time, value in zip(times, values, strict=True)) / spread
    beside = [value - mean - slope * (time - middle) for time, value in zip(times, values, strict=True)]
    squares = sum(each**2 for each in beside)
    if squares <= 1e-18 * max(1.0, mean**2):
        return slope, 0.0
    alike = sum(one * other for one, other in itertools.pairwise(beside)) / squares
    alike = min(max(alike, 0.0), 0.95)
    independent = max(count * (1 - alike) / (1 + alike), 3.0)
    return slope, math.sqrt(squares / max(independent - 2, 1.0) / spread * count / independent)
