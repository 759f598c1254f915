"""How far a head may be turned: what is asked within that stays, and what is beyond ends before it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.renderer.prior.reach import (
    BEND,
    FURTHEST_PITCH,
    FURTHEST_YAW,
    MOST_NOD,
    MOST_TURN,
    NOTICED,
    Reach,
    within_reach,
)

ANGLE = st.floats(-80, 80, width=32)
TARGET = st.floats(-400, 400, width=32)
SWEEP = np.linspace(-120, 120, 4801)  # steps of a twentieth of a degree
EXACT = 1e-4  # degrees; float32 radians are no finer


def motion(yaw: float | np.ndarray = 0, pitch: float | np.ndarray = 0, roll: float = 0) -> np.ndarray:
    """Motions (T, 70), whose other numbers are all alike, of angles in degrees."""
    yaw, pitch = np.broadcast_arrays(np.atleast_1d(yaw), pitch)
    motions = np.full((len(yaw), 70), 0.25, np.float32)
    motions[:, 64:67] = np.radians(np.stack([yaw, pitch, np.full(len(yaw), roll)], axis=1))
    return motions


def reached(own: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Yaw and pitch (T, 2) in degrees."""
    return np.degrees(within_reach(own, motions)[0][:, 64:66].astype(np.float64))


@pytest.mark.parametrize(
    ("yaw", "pitch", "of_yaw", "of_pitch"),
    [
        (0, 0, (-MOST_TURN, MOST_TURN), (-MOST_NOD, MOST_NOD)),
        (20, -15, (20 - MOST_TURN, FURTHEST_YAW), (-FURTHEST_PITCH, MOST_NOD - 15)),
        (60, 50, (60 - MOST_TURN, 60), (50 - MOST_NOD, 50)),  # further than any other is turned: it may turn back
        (-60, -50, (-60, MOST_TURN - 60), (-50, MOST_NOD - 50)),
    ],
)
def test_the_range_depends_on_where_the_portrait_is(
    yaw: float, pitch: float, of_yaw: tuple[float, float], of_pitch: tuple[float, float]
) -> None:
    reach = Reach.of(motion(yaw, pitch)[0])
    assert reach.yaw == pytest.approx(of_yaw, abs=EXACT)
    assert reach.pitch == pytest.approx(of_pitch, abs=EXACT)


def test_what_is_well_within_stays_bit_for_bit_and_so_does_all_but_yaw_and_pitch() -> None:
    own = motion(5, -5)[0]
    inside = motion(np.linspace(5 - MOST_TURN + BEND, FURTHEST_YAW - BEND, 50) * 0.999, 3, roll=170)
    same, reduced = within_reach(own, inside)
    np.testing.assert_array_equal(same, inside)
    assert same.dtype == np.float32
    assert not reduced.any()
    asked = motion(90, -80, roll=170)
    got, reduced = within_reach(own, asked)
    rest = [*range(64), *range(66, 70)]
    np.testing.assert_array_equal(got[:, rest], asked[:, rest])
    assert asked[0, 64] == np.float32(np.radians(90))  # what was given is left alone
    assert reduced.tolist() == [True]


@pytest.mark.parametrize("pitch", [0, 90])
def test_yaw_and_pitch_are_limited_apart(pitch: float) -> None:
    got = reached(motion()[0], motion(12, pitch))[0]
    assert got == pytest.approx((12, MOST_NOD if pitch else 0), abs=1e-3)


@given(yaw=ANGLE, pitch=ANGLE)
def test_a_portraits_own_pose_stays_bit_for_bit(yaw: float, pitch: float) -> None:
    own = motion(yaw, pitch)
    same, reduced = within_reach(own[0], own)
    np.testing.assert_array_equal(same, own)
    assert not reduced.any()


@given(yaw=ANGLE, pitch=ANGLE, to_yaw=TARGET, to_pitch=TARGET)
def test_the_range_is_never_left_and_a_mirror_image_does_the_same(
    yaw: float, pitch: float, to_yaw: float, to_pitch: float
) -> None:
    own, asked = motion(yaw, pitch), motion(to_yaw, to_pitch)
    reach, got = Reach.of(own[0]), reached(own[0], asked)[0]
    for value, (least, most) in zip(got, (reach.yaw, reach.pitch), strict=True):
        assert least - EXACT <= value <= most + EXACT
    mirrored = reached(motion(-yaw, pitch)[0], motion(-to_yaw, to_pitch))[0]
    np.testing.assert_array_equal(mirrored, got * (-1, 1))


@given(yaw=ANGLE, pitch=ANGLE)
def test_turning_on_never_turns_back_and_never_leaps(yaw: float, pitch: float) -> None:
    steps = np.diff(reached(motion(yaw, pitch)[0], motion(SWEEP, SWEEP)), axis=0)
    assert steps.min() >= -EXACT
    assert steps.max() <= SWEEP[1] - SWEEP[0] + EXACT


def test_a_turn_slows_down_before_it_ends() -> None:
    slopes = np.diff(reached(motion()[0], motion(SWEEP, SWEEP)), axis=0) / (SWEEP[1] - SWEEP[0])
    assert np.abs(np.diff(slopes, axis=0)).max() < 0.02  # of a head that moves on evenly


def test_a_portrait_turned_furthest_stays_and_turns_back() -> None:
    own = motion(50)[0]
    got, reduced = within_reach(own, motion(np.array([70, 50, 20, 0])))
    turned = np.degrees(got[:, 64])
    assert turned == pytest.approx([50, 50, 20, 50 - MOST_TURN], abs=0.2)
    assert reduced.tolist() == [True, False, False, True]


def test_only_what_is_noticed_counts_as_reduced() -> None:
    asked = motion(SWEEP)
    got, reduced = within_reach(motion()[0], asked)
    taken = np.degrees(np.abs(got[:, 64] - asked[:, 64]))
    assert np.all(taken[reduced] > NOTICED - EXACT)
    assert np.all(taken[~reduced] < NOTICED + EXACT)
    assert taken[~reduced].max() > 0


def test_what_is_no_number_is_left_for_others_to_refuse() -> None:
    got, reduced = within_reach(motion()[0], motion(np.nan))
    assert np.isnan(got[0, 64])
    assert not reduced.any()
