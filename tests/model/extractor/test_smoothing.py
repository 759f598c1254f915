import numpy as np
import pytest

from model.extractor.smoothing import smoothed


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
