"""A head from a video and a mouth from speech."""

from collections.abc import Iterator

import numpy as np
import pytest

from jobs.schemas import VideoOptions
from model.morphable.upper_face import upper_face
from worker.make.speech import with_head_of

START = np.linspace(-0.5, 0.5, 70, dtype=np.float32)


def motion(length: int, seed: int) -> np.ndarray:
    return (START + np.random.default_rng(seed).normal(size=(length, 70))).astype(np.float32)


def rows(driven: np.ndarray, taken: list[int] | None = None) -> Iterator[np.ndarray | None]:
    """A driver, frame by frame, with a moment before each; `taken` is told of the frames that were read."""
    for number, row in enumerate(driven):
        yield None
        if taken is not None:
            taken.append(number)
        yield row[None]


def mix(
    driven: Iterator[np.ndarray | None], spoken: np.ndarray, options: VideoOptions, *, block: int = 250
) -> np.ndarray:
    blocks = (spoken[first : first + block] for first in range(0, len(spoken), block))
    return np.concatenate([part for part in with_head_of(driven, blocks, START, options) if part is not None])


def test_the_mouth_is_the_speechs_and_the_rest_the_videos() -> None:
    driven, spoken = motion(9, 0), motion(9, 1)
    mixed = mix(rows(driven), spoken, VideoOptions())
    np.testing.assert_array_equal(mixed[:, 64:], driven[:, 64:])
    change, of_video, of_speech = (part[:, :64] - START[:64] for part in (mixed, driven, spoken))
    np.testing.assert_allclose(upper_face(change), upper_face(of_video), atol=1e-3)
    np.testing.assert_allclose(change - upper_face(change), of_speech - upper_face(of_speech), atol=1e-3)


def test_a_head_held_still_stays_the_speechs() -> None:
    driven, spoken = motion(4, 0), motion(4, 1)
    mixed = mix(rows(driven), spoken, VideoOptions(still=True))
    np.testing.assert_array_equal(mixed[:, 64:], spoken[:, 64:])


@pytest.mark.parametrize(("driver", "said"), [(3, 7), (1, 7), (9, 7), (2, 90), (40, 300), (400, 300)])
def test_a_short_video_goes_back_and_forth_and_a_long_one_is_read_no_further(driver: int, said: int) -> None:
    driven, taken = motion(driver, 0), list[int]()
    mixed = mix(rows(driven, taken), motion(said, 1), VideoOptions(), block=100)
    there_and_back = [*range(driver), *range(driver - 2, 0, -1)]
    np.testing.assert_array_equal(mixed[:, 64:], driven[(there_and_back * said)[:said], 64:])
    assert taken == list(range(min(driver, said)))


def test_the_first_frames_do_not_wait_for_all_of_the_video() -> None:
    taken: list[int] = []
    mixed = with_head_of(rows(motion(300, 0), taken), iter([motion(250, 1)]), START, VideoOptions())
    next(part for part in mixed if part is not None)
    assert len(taken) <= 25
