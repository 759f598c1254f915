"""Videos with cuts, leaps and faces that go; each is made of two people's photos, which move."""

import cv2
import numpy as np
import pytest
import torch

from tests.support.films import swaying


def panned(photo, count, *, size=(360, 300), zoom=0.6, step=3.0):
    """Frames in which the photo moves to the right; what it does not cover is its mirror image."""
    width, height = size
    for t in range(count):
        to_frame = np.array([[zoom, 0, 0.5 * (width - zoom * photo.shape[1]) + step * (t - count / 2)], [0, zoom, 0]])
        yield cv2.warpAffine(photo, to_frame, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)


def motions(found):
    return np.stack([extraction.motion for extraction in found])


def test_frames_fitted_together_have_the_motion_that_each_has_alone(extractor, portrait):
    found = list(extractor.extract_video(panned(portrait, 21)))
    for extraction in found:
        identity = torch.from_numpy(extraction.identity)[None]
        alone = extractor.morphable.fit(torch.from_numpy(extraction.landmarks)[None], identity).motion[0].numpy()
        assert extraction.motion == pytest.approx(alone, abs=2e-3)
    assert all(extraction.seen for extraction in found)


@pytest.mark.slow
@pytest.mark.parametrize("first", [9, 20])
def test_a_shot_is_read_as_if_it_were_alone(extractor, portrait, astronaut, first):
    shots = [list(panned(portrait, first)), list(panned(astronaut, 12, zoom=0.9, step=-2.0))]
    together = list(extractor.extract_video(shots[0] + shots[1]))
    apart = [list(extractor.extract_video(shot)) for shot in shots]
    assert [extraction.shot for extraction in together] == [0] * first + [1] * 12
    assert motions(together) == pytest.approx(motions(apart[0] + apart[1]), abs=0.02)
    for extraction, alone in zip(together, apart[0] + apart[1], strict=True):
        assert extraction.identity == pytest.approx(alone.identity, abs=0.02)
        assert (extraction.crop.x, extraction.crop.side) == pytest.approx((alone.crop.x, alone.crop.side), abs=1)


def test_frames_of_another_size_are_another_shot(extractor, portrait):
    found = list(extractor.extract_video([*panned(portrait, 5), *panned(portrait, 5, size=(400, 340))]))
    assert [extraction.shot for extraction in found] == [0] * 5 + [1] * 5
    assert all(extraction.seen for extraction in found)


def test_a_leap_is_not_smoothed(extractor, portrait):
    still, moved = (next(panned(portrait, 1, step=step)) for step in (-24, 24))
    found = list(extractor.extract_video([still] * 10 + [moved] * 10))
    assert {extraction.shot for extraction in found} == {0}  # most of the picture is what it was
    points = np.stack([extraction.landmarks for extraction in found])
    steps = np.abs(np.diff(points[:, :, 0], axis=0)).mean(axis=1)
    assert steps[9] > 20
    assert np.delete(steps, 9).max() < 1


@pytest.mark.slow
def test_a_person_is_followed_to_the_other_side_of_a_cut(extractor, portrait, astronaut):
    left, right = (list(panned(photo, 8, zoom=zoom)) for photo, zoom in ((portrait, 0.6), (astronaut, 0.8)))
    before = [np.hstack(pair) for pair in zip(left, right, strict=True)]
    dark = [(frame * 0.35).astype(np.uint8) for frame in before]
    after = [np.ascontiguousarray(frame.reshape(300, 2, 360, 3)[:, ::-1].reshape(300, 720, 3)) for frame in dark]
    identities = [extractor.extract(person).identity for person in (portrait, astronaut)]
    apart = np.linalg.norm(identities[0] - identities[1])
    for face, person in ((0, portrait), (1, astronaut)):
        identity = identities[face]
        found = list(extractor.extract_video(before + after, face))
        assert [extraction.shot for extraction in found] == [0] * 8 + [1] * 8
        assert max(np.linalg.norm(extraction.identity - identity) for extraction in found) < apart / 2
        middle = [extraction.crop.x + extraction.crop.side / 2 for extraction in found]
        assert (middle[0] < 360) == (person is portrait)
        assert (middle[-1] < 360) == (person is astronaut)


@pytest.mark.slow
def test_the_last_motion_stays_while_no_face_is_seen(extractor, portrait, astronaut):
    empty = np.full((300, 360, 3), 60, np.uint8)
    found = list(extractor.extract_video([*panned(portrait, 8), *[empty] * 10, *panned(astronaut, 8, zoom=0.9)]))
    assert [extraction.seen for extraction in found] == [True] * 8 + [False] * 10 + [True] * 8
    assert [extraction.shot for extraction in found] == [0] * 18 + [1] * 8
    held = motions(found[8:18])
    assert held == pytest.approx(np.tile(held[0], (10, 1)), abs=1e-4)
    assert held[0] == pytest.approx(found[7].motion, abs=0.3)
    assert all(np.array_equal(found[n].image, found[n].crop.cut(empty)) for n in (8, 17))


def test_a_face_that_comes_back_in_the_same_scene_goes_on_in_its_shot(extractor, portrait):
    def frames():
        for t, frame in enumerate(panned(portrait, 24, step=0.0)):
            if 8 <= t < 14:
                frame[40:190, 110:250] = 90  # something before the face
            yield frame

    found = list(extractor.extract_video(frames()))
    assert {extraction.shot for extraction in found} == {0}
    assert not any(extraction.seen for extraction in found[8:14])
    assert all(extraction.seen for extraction in found[:8] + found[14:])
    assert found[-1].motion == pytest.approx(found[0].motion, abs=0.3)


def test_a_head_that_sways_fast_between_others_is_not_searched_for(extractor, portrait, monkeypatch):
    searches = []
    search = extractor.detector.sightings
    monkeypatch.setattr(extractor.detector, "sightings", lambda rgb, **how: searches.append(how) or search(rgb, **how))
    found = list(extractor.follower.follow(swaying(portrait, 32, size=(640, 360), zoom=0.5, period=20)))
    assert len(searches) == 1
    assert all(followed.seen for followed in found)
    assert {followed.course for followed in found} == {0}
