"""A face followed through pictures as they come."""

from collections.abc import Sequence

import numpy as np
import pytest

from model.arrays import Pixels
from model.extractor import Extractor
from model.extractor.detect import FaceDetector
from model.extractor.live import SEARCH_EVERY_S, LiveFollower
from model.extractor.reader import Sighting
from tests.support.films import swaying

EMPTY = np.full((240, 320, 3), 90, np.uint8)


class Searches(FaceDetector):
    """A detector that counts what it is asked."""

    count = 0

    def sightings(self, rgb: Pixels, *, every: bool = True, thorough: bool = True) -> list[Sighting]:
        self.count += 1
        return super().sightings(rgb, every=every, thorough=thorough)


@pytest.fixture
def searches(extractor: Extractor) -> Searches:
    return Searches(extractor.reader)


@pytest.fixture
def follower(extractor: Extractor, searches: Searches) -> LiveFollower:
    return LiveFollower(extractor.reader, searches)


def on_the_left(picture: np.ndarray) -> np.ndarray:
    """A picture of 320 pixels in a wide one."""
    return np.concatenate([picture, np.full_like(picture, 90)], axis=1)


def looked(follower: LiveFollower, pictures: Sequence[np.ndarray], at_s: float = 0.0) -> list[np.ndarray | None]:
    return [follower.look(picture, at_s + number / 25) for number, picture in enumerate(pictures)]


@pytest.mark.slow
def test_a_face_that_moves_is_searched_once(
    follower: LiveFollower, searches: Searches, extractor: Extractor, portrait: np.ndarray
) -> None:
    pictures = list(swaying(portrait, 24, size=(320, 240), zoom=0.5))
    got = np.stack([points for points in looked(follower, pictures) if points is not None])
    assert searches.count == 1
    known = [extractor.extract(picture) for picture in pictures[::6]]
    for points, one in zip(got[::6], known, strict=True):
        wanted = one.crop.points_to_source(one.landmarks)
        assert np.linalg.norm(points - wanted, axis=1)[:468].mean() < 0.02 * np.ptp(wanted[:, 1])


@pytest.mark.slow
def test_where_there_is_no_face_it_is_searched_now_and_then(
    follower: LiveFollower, searches: Searches, portrait: np.ndarray
) -> None:
    (picture,) = swaying(portrait, 1, size=(320, 240), zoom=0.5)
    assert looked(follower, [EMPTY] * 25) == [None] * 25
    assert searches.count == round(1 / SEARCH_EVERY_S)
    assert looked(follower, [picture], 1.2)[0] is not None
    assert looked(follower, [EMPTY] * 10, 1.24) == [None] * 10
    before = searches.count
    assert looked(follower, [picture], 1.64)[0] is not None  # where it was
    assert searches.count == before


@pytest.mark.slow
def test_the_largest_is_followed_though_another_comes_nearer(
    follower: LiveFollower, portrait: np.ndarray, astronaut: np.ndarray
) -> None:
    (large,) = swaying(portrait, 1, size=(320, 320), zoom=0.6)
    (small,) = swaying(astronaut, 1, size=(320, 320), zoom=0.5)
    pictures = [on_the_left(large), np.concatenate([large, small], axis=1)]
    first, second = looked(follower, pictures)
    assert first is not None
    assert second is not None
    assert np.abs(first - second).max() < 3
    gone = [np.full_like(pictures[0], 90)]
    assert looked(follower, gone, 1.0) == [None]
    moved = np.concatenate([small, large], axis=1)
    (found,) = looked(follower, [moved], 2.0)
    assert found is not None
    assert found[:, 0].mean() < 320  # nearer to where it was, though it is another
