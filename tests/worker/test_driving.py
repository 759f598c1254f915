"""What a driver does becomes the portrait's motion; who the driver is does not."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from service.jobs.schemas import ImageOptions, VideoOptions
from worker.driving import Driver, apply, resting, starting

D = 70


@dataclass
class Face:
    identity: np.ndarray = field(default_factory=lambda: np.zeros(80, np.float32))
    motion: np.ndarray = field(default_factory=lambda: np.linspace(-0.5, 0.5, D, dtype=np.float32))


def driver(motion: np.ndarray, shots: list[int] | None = None) -> Driver:
    length = len(motion)
    return Driver(np.asarray(motion, np.float32), np.array(shots or [0] * length), np.ones(length, np.bool_))


def moved(seconds: float = 2.0) -> np.ndarray:
    """A motion (T, D) that starts anywhere and drifts."""
    rng = np.random.default_rng(0)
    return np.cumsum(rng.normal(0, 0.05, (round(25 * seconds), D)), axis=0) + rng.normal(0, 1, D)


def relative(driver: Driver, **options: float) -> np.ndarray:
    return apply(driver, Face(), starting(driver), VideoOptions(**options))


def absolute(driver: Driver, **options: float) -> np.ndarray:
    return apply(driver, Face(), resting(driver), VideoOptions(driving_relative=False, **options))


def test_a_portrait_starts_where_it_is_and_moves_as_much_as_the_driver() -> None:
    motion = moved()
    motion[:25, :64] = motion[0, :64]  # a second of rest
    got = relative(driver(motion))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0], Face().motion, atol=1e-5)
    np.testing.assert_allclose(got[:, :68] - got[0, :68], motion[:, :68] - motion[0, :68], atol=1e-5)


def test_a_blink_in_the_first_frames_does_not_open_the_portraits_eyes_wide() -> None:
    motion = np.zeros((50, D))
    motion[:6, 3] = 4.0
    got = relative(driver(motion))
    assert got[0, 3] == pytest.approx(Face().motion[3] + 4)
    np.testing.assert_allclose(got[10:, 3], Face().motion[3], atol=1e-6)


def test_the_scales_are_those_of_the_change() -> None:
    motion = moved()
    whole, scaled = (relative(driver(motion), **scales) for scales in ({}, {"pose_scale": 0.5, "expression_scale": 2}))
    own = Face().motion
    np.testing.assert_allclose(scaled[:, :64] - own[:64], 2 * (whole[:, :64] - own[:64]), atol=1e-4)
    np.testing.assert_allclose(scaled[:, 64:] - own[64:], 0.5 * (whole[:, 64:] - own[64:]), atol=1e-4)
    still = absolute(driver(motion), pose_scale=0, expression_scale=0)
    np.testing.assert_allclose(still[:, :67], 0, atol=1e-6)  # the resting face, turned to the camera


def test_absolute_takes_expression_and_angles_but_not_size_and_place() -> None:
    motion = moved()
    got = absolute(driver(motion))
    np.testing.assert_allclose(got[:, :67], motion[:, :67], atol=1e-6)
    np.testing.assert_allclose(got[0, 67:], Face().motion[67:], atol=1e-6)
    np.testing.assert_allclose(got[:, 67:], relative(driver(motion))[:, 67:], atol=1e-6)


def test_an_image_is_compared_with_the_resting_face() -> None:
    one = driver(np.full((1, D), 0.25))
    instead = apply(one, Face(), resting(one), ImageOptions())[0]
    on_top = apply(one, Face(), resting(one), ImageOptions(driving_relative=True, expression_scale=2))[0]
    own = Face().motion
    np.testing.assert_allclose(instead, [*[0.25] * 67, *own[67:]], atol=1e-6)
    np.testing.assert_allclose(on_top, [*(own[:64] + 0.5), *(own[64:67] + 0.25), *own[67:]], atol=1e-6)


@pytest.mark.parametrize("read", [relative, absolute])
def test_a_larger_picture_of_the_driver_changes_nothing(read) -> None:  # type: ignore[no-untyped-def]
    motion = moved()
    larger = motion.copy()
    larger[:, 67] += np.log(1.7)  # the same head in a crop of another size, and elsewhere in it
    larger[:, 68:] = 1.7 * motion[:, 68:] + (0.3, -0.2)
    np.testing.assert_allclose(read(driver(larger)), read(driver(motion)), atol=1e-4)


def test_offsets_are_counted_in_sizes_of_the_face() -> None:
    motion = np.zeros((2, D))
    motion[:, 67] = np.log(0.5)  # half as large as the portrait's, if that is 1
    motion[1, 68] = 0.1
    face = Face(motion=np.zeros(D, np.float32))
    it = driver(motion)
    assert apply(it, face, starting(it), VideoOptions())[1, 68] == pytest.approx(0.2)


def test_after_a_cut_size_and_place_start_again_and_the_rest_goes_on() -> None:
    motion = moved()
    cut = motion.copy()
    cut[30:, 67:] += (0.4, 0.8, -0.5)
    together = relative(driver(cut, [0] * 30 + [1] * 20))
    np.testing.assert_allclose(together[30, 67:], Face().motion[67:], atol=1e-5)
    np.testing.assert_allclose(together[:, :67], relative(driver(motion))[:, :67], atol=1e-6)
    np.testing.assert_allclose(together[:30], relative(driver(motion))[:30], atol=1e-6)
