import numpy as np
import pytest

from model.extractor.smoothing import OneEuroFilter, smoothed


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_every_value_comes_back_once(count):
    assert len(list(smoothed(np.full(3, float(i)) for i in range(count)))) == count


def test_a_parabola_passes_unchanged():
    time = np.arange(20.0)
    course = 0.3 * time**2 - 2 * time + 1
    result = np.array(list(smoothed([np.array([value]) for value in course])))[:, 0]
    assert result[2:-2] == pytest.approx(course[2:-2], rel=1e-4)


def test_noise_shrinks_and_nothing_is_late():
    rng = np.random.default_rng(0)
    time = np.linspace(0, 20, 500)
    course, noise = np.sin(time), rng.normal(0, 0.3, 500)
    result = np.array(list(smoothed([np.array([value]) for value in course + noise])))[:, 0]
    assert np.std(result - course) < 0.75 * np.std(noise)
    clean = np.array(list(smoothed([np.array([value]) for value in course])))[:, 0]
    assert np.argmin([np.abs(clean[5:-5] - course[5 - lag : 495 - lag]).max() for lag in (-2, -1, 0, 1, 2)]) == 2


def test_values_are_handed_on_while_the_stream_runs():
    taken = []

    def stream():
        for i in range(100):
            taken.append(i)
            yield np.array([float(i)])

    results = smoothed(stream())
    next(results)
    assert len(taken) == 3


def live(course: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A point's x (T,) smoothed as it comes; it stands still otherwise."""
    one_euro, points = OneEuroFilter(), np.zeros((len(course), 1, 3), np.float32)
    points[:, 0, 0] = course
    return np.array([one_euro.smooth(point, at_s)[0, 0] for point, at_s in zip(points, times, strict=True)])


def test_what_stands_still_live_is_steadied_and_what_moves_is_hardly_late():
    times = np.arange(250) / 25
    noise = np.random.default_rng(0).normal(0, 0.5, 250)
    assert np.std(live(noise, times)[25:]) < 0.65 * np.std(noise)
    moving = 100 * np.sin(times)
    late = (moving - live(moving, times))[25:] / np.gradient(moving, times)[25:]
    assert 0 < np.median(late) < 0.03


def test_what_stops_live_is_not_shot_beyond():
    times = np.arange(50) / 25
    course = np.clip(times - 1, 0, 0.2) * 100
    got = live(course, times)
    assert got[:25].max() == 0
    assert got.max() <= 20.001
    assert got[-1] == pytest.approx(20, abs=0.1)


def test_live_smoothing_goes_by_time_and_not_by_the_number_of_values():
    times = np.arange(250) / 25
    kept = np.sort(np.random.default_rng(0).choice(250, 150, replace=False))
    course = 20 * np.sin(3 * times)
    assert live(course[kept], times[kept])[10:] == pytest.approx(live(course, times)[kept][10:], abs=1.2)


def test_values_of_one_moment_are_no_motion():
    assert live(np.array([1.0, 5.0, 5.0]), np.array([2.0, 2.0, 1.0])).tolist() == [1.0, 1.0, 1.0]
