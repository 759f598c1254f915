from itertools import islice

import numpy as np
import pytest

from model.audio.blinks import TEMPLATE, BlinkModel, find_blinks

SHAPE = np.array([0, 0.1, 0.4, 0.9, 1.0, 0.8, 0.5, 0.2, 0.1], np.float32)


def blinking(frames: int, every: int) -> np.ndarray:
    closure = np.zeros(frames, np.float32)
    for first in range(20, frames - len(SHAPE), every):
        closure[first : first + len(SHAPE)] = SHAPE
    return closure


def test_blinks_are_found_and_long_closings_are_not() -> None:
    closure = blinking(400, 100)
    closure[340:390] = 0.9  # eyes shut
    assert find_blinks(closure) == [24, 124, 224, 324]


def test_the_model_learns_shape_and_rate() -> None:
    model = BlinkModel()
    figures = model.fit([blinking(1500, 75)])
    assert figures["blinks_per_minute"] == pytest.approx(20, rel=0.05)
    made = model.generate(25 * 60 * 20, None, np.random.default_rng(0))
    assert len(find_blinks(made)) / 20 == pytest.approx(20, rel=0.2)
    assert made.max() == pytest.approx(1.0)
    assert made.min() == 0.0


def test_the_rate_can_be_chosen() -> None:
    model = BlinkModel()
    model.fit([blinking(1500, 100)])
    for rate in (0, 6, 15, 30):
        made = model.generate(25 * 60 * 20, rate, np.random.default_rng(1))
        assert len(find_blinks(made)) / 20 == pytest.approx(rate, rel=0.15)


def test_blinks_go_on_for_ever_as_in_a_track() -> None:
    model = BlinkModel()
    model.fit([blinking(1500, 100)])
    endless = model.closures(None, np.random.default_rng(3))
    hour = np.array(list(islice(endless, 25 * 3600)), np.float32)
    assert np.array_equal(hour, model.generate(len(hour), None, np.random.default_rng(3)))
    assert len(find_blinks(hour[-15_000:])) / 10 == pytest.approx(15, rel=0.25)


def test_short_tracks_are_served() -> None:
    model = BlinkModel()
    model.fit([blinking(500, 50)])
    assert [len(model.generate(n, 50.0, np.random.default_rng(2))) for n in (1, 3, TEMPLATE)] == [1, 3, TEMPLATE]
