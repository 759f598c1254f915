"""The verdicts of `benchmarks/soak`."""

import random

import pytest

from benchmarks.soak.trends import fitted, trend

MINUTES = [minute / 60 for minute in range(120)]
NAME = "API: MiB of its own"


def noise(seed: int, alike: float = 0.0) -> list[float]:
    """Of size one, each value like the one before it to some degree."""
    chance, values = random.Random(seed), [0.0]
    for _ in MINUTES[1:]:
        values.append(alike * values[-1] + chance.gauss(0, 1) * (1 - alike**2) ** 0.5)
    return values


@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_what_only_wavers_is_flat(alike: float) -> None:
    found = [trend(NAME, MINUTES, [300 + 20 * each for each in noise(seed, alike)]).verdict for seed in range(40)]
    assert sum(each != "flat" for each in found) <= 2


@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_a_leak_is_seen(alike: float) -> None:
    for seed in range(20):
        leaking = [300 + 30 * hour + each for hour, each in zip(MINUTES, noise(seed, alike), strict=True)]
        assert trend(NAME, MINUTES, leaking).verdict.startswith("grows")


def test_growth_at_the_beginning_is_none() -> None:
    assert trend(NAME, MINUTES, [min(400.0, 100 + 600 * hour) for hour in MINUTES]).verdict == "flat"


def test_a_step_each_hour_of_what_is_counted_is_seen() -> None:
    assert trend("API: open files", MINUTES, [20 + 2 * hour for hour in MINUTES]).verdict.startswith("grows")


def test_few_samples_say_nothing() -> None:
    assert trend(NAME, MINUTES[:12], [100.0 * each for each in range(12)]).verdict == "too few samples"


def test_a_line_is_fitted() -> None:
    slope, error = fitted([0, 1, 2, 3], [1, 3, 5, 7])
    assert (slope, error) == pytest.approx((2, 0))
