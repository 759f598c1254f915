"""From what is asked to the motion of every frame."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.motions import MOTION_FPS, CoefficientsMotion, ControlsMotion, FramesMotion, Keyframe, KeyframesMotion
from model.morphable import basis
from worker.make import motions

D = 70


@dataclass
class Face:
    identity: np.ndarray = field(default_factory=lambda: np.zeros(80, np.float32))
    motion: np.ndarray = field(default_factory=lambda: np.linspace(-1, 1, D, dtype=np.float32))


class YawOnly:
    """The least that applies controls: yaw in radians, on top of the motion or instead of its own."""

    def apply(
        self, identity: np.ndarray, motion: np.ndarray, values: Mapping[str, float], *, relative: bool
    ) -> np.ndarray:
        result = motion.copy()
        result[64] = values["yaw"] + (motion[64] if relative else 0)
        return result


def test_motions_on_the_wire_have_the_models_rate() -> None:
    assert MOTION_FPS == basis.MOTION_FPS


def test_controls_are_relative_or_absolute() -> None:
    face = Face()
    on_top = motions.still(ControlsMotion(controls={"yaw": 0.5}), face, YawOnly())
    instead = motions.still(ControlsMotion(controls={"yaw": 0.5}, relative=False), face, YawOnly())
    assert on_top[64] == pytest.approx(face.motion[64] + 0.5)
    assert instead[64] == pytest.approx(0.5)


def test_coefficients_are_taken_as_they_are() -> None:
    wanted = [i / 100 for i in range(D)]
    got = motions.still(CoefficientsMotion(space="open478", coefficients=wanted), Face(), YawOnly())
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert got.dtype == np.float32


def test_keyframes_pass_through_their_poses() -> None:
    motion = KeyframesMotion(
        keyframes=[
            Keyframe(t=0, controls={"yaw": 0}),
            Keyframe(t=1, controls={"yaw": 0.4}),
            Keyframe(t=2, controls={"yaw": -0.2}),
        ],
        relative=False,
    )
    yaw = motions.moving(motion, Face(), YawOnly(), 25.0)[:, 64]
    assert len(yaw) == 51
    assert [yaw[0], yaw[25], yaw[50]] == pytest.approx([0, 0.4, -0.2], abs=1e-6)
    assert np.all(np.diff(yaw[:26]) >= -1e-7)  # no swing back on the way
    assert np.all(np.diff(yaw[25:]) <= 1e-7)
    assert np.abs(np.diff(yaw, 2)).max() < 0.01  # no jerk


def test_one_keyframe_holds() -> None:
    motion = KeyframesMotion(keyframes=[Keyframe(t=0.4, controls={"yaw": 0.3})], relative=False)
    yaw = motions.moving(motion, Face(), YawOnly(), 25.0)[:, 64]
    assert yaw.tolist() == pytest.approx([0.3] * 11)


def test_frames_are_resampled_to_the_rate() -> None:
    rows = [[t / 30] * D for t in range(60)]  # two seconds: the value is the time
    motion = FramesMotion(space="open478", fps=30, frames=rows)
    got = motions.moving(motion, Face(), YawOnly(), 25.0)
    assert got.shape == (50, D)
    np.testing.assert_allclose(got[:, 3], np.arange(50) / 25, atol=1e-5)
    np.testing.assert_array_equal(motions.moving(motion, Face(), YawOnly(), 30.0), np.asarray(rows, np.float32))


def by_hand(frames: np.ndarray, from_fps: float, to_fps: float) -> np.ndarray:
    """What `resample` shall be, with all of the sequence at hand."""
    position = np.minimum(
        np.arange(max(1, round(len(frames) / from_fps * to_fps))) * from_fps / to_fps, len(frames) - 1
    )
    before = np.floor(position).astype(int)
    share = (position - before)[:, None].astype(np.float32)
    return np.asarray(frames[before] * (1 - share) + frames[np.minimum(before + 1, len(frames) - 1)] * share)


RATES = st.sampled_from([1, 10, 23.976, 24, 25, 29.97, 30, 50, 60, 1000 / 33]) | st.floats(1, 120)


@given(
    lengths=st.lists(st.none() | st.integers(1, 40), max_size=12),
    rates=st.tuples(RATES, RATES).filter(lambda rates: rates[0] != rates[1]),
)
def test_a_sequence_is_resampled_as_it_comes_bit_for_bit(lengths: list[int | None], rates: tuple[float, float]) -> None:
    lengths = [1, *lengths]
    rows = np.random.default_rng(0).normal(size=(sum(length or 0 for length in lengths), D)).astype(np.float32)
    used: list[int] = []

    def parts() -> Iterator[np.ndarray | None]:
        for length in lengths:
            used.append(length or 0)
            yield None if length is None else rows[sum(used[:-1]) : sum(used)]

    got: list[np.ndarray] = []
    moments = 0
    for part in motions.resampled(parts(), *rates):
        if part is None:
            moments += 1
            continue
        assert len(part)
        got.append(part)
    wanted = by_hand(rows, *rates)
    np.testing.assert_array_equal(np.concatenate(got), wanted)
    np.testing.assert_array_equal(motions.resample(rows, *rates), wanted)
    assert motions.resampled_length(len(rows), *rates) == len(wanted)
    assert moments >= lengths.count(None)


def test_what_is_resampled_does_not_wait_for_the_end() -> None:
    rows = np.random.default_rng(0).normal(size=(1000, D)).astype(np.float32)
    come = 0

    def parts() -> Iterator[np.ndarray]:
        nonlocal come
        for row in rows:
            come += 1
            yield row[None]

    made = 0
    for part in motions.resampled(parts(), 25, 30):
        made += 0 if part is None else len(part)
        assert made >= (come - 2) * 30 / 25 - 1
    assert made == 1200


@given(
    values=st.lists(st.floats(-3, 3), min_size=2, max_size=6),
    gaps=st.lists(st.floats(0.05, 2), min_size=5, max_size=5),
)
def test_interpolation_never_leaves_the_two_keys_around_it(values: list[float], gaps: list[float]) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])[: len(values)]
    at = np.linspace(-0.5, times[-1] + 0.5, 97)
    got = motions.interpolate(times, np.asarray(values, np.float32)[:, None], at)[:, 0]
    k = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(values) - 2)
    low = np.minimum(np.take(values, k), np.take(values, k + 1))
    high = np.maximum(np.take(values, k), np.take(values, k + 1))
    assert np.all(got >= low - 1e-5)
    assert np.all(got <= high + 1e-5)
