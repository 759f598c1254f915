"""A head from a video and a mouth from speech."""

import numpy as np
import pytest

from jobs.schemas import VideoOptions
from model.morphable.upper_face import upper_face
from worker.make.speech import with_head_of

START = np.linspace(-0.5, 0.5, 70, dtype=np.float32)


def motion(length: int, seed: int) -> np.ndarray:
    return (START + np.random.default_rng(seed).normal(size=(length, 70))).astype(np.float32)


def test_the_mouth_is_the_speechs_and_the_rest_the_videos() -> None:
    driven, spoken = motion(9, 0), motion(9, 1)
    mixed = with_head_of(driven, spoken, START, VideoOptions())
    np.testing.assert_array_equal(mixed[:, 64:], driven[:, 64:])
    change, of_video, of_speech = (part[:, :64] - START[:64] for part in (mixed, driven, spoken))
    np.testing.assert_allclose(upper_face(change), upper_face(of_video), atol=1e-3)
    np.testing.assert_allclose(change - upper_face(change), of_speech - upper_face(of_speech), atol=1e-3)


def test_a_head_held_still_stays_the_speechs() -> None:
    driven, spoken = motion(4, 0), motion(4, 1)
    mixed = with_head_of(driven, spoken, START, VideoOptions(still=True))
    np.testing.assert_array_equal(mixed[:, 64:], spoken[:, 64:])


@pytest.mark.parametrize(("length", "numbers"), [(3, [0, 1, 2, 1, 0, 1, 2]), (1, [0] * 7), (9, list(range(7)))])
def test_a_short_video_goes_back_and_forth_and_a_long_one_is_cut(length: int, numbers: list[int]) -> None:
    driven = motion(length, 0)
    mixed = with_head_of(driven, motion(7, 1), START, VideoOptions())
    np.testing.assert_array_equal(mixed[:, 64:], driven[numbers, 64:])
