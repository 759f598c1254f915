"""Scenes hold the faces that they say they hold."""

import cv2
import numpy as np
import pytest

from model.evaluation.extractor.conditions import CONDITIONS, with_sunglasses
from model.evaluation.extractor.portraits import LabelledPortrait
from model.evaluation.extractor.scenes import (
    scene_with_covered_face,
    scene_with_face,
    scene_with_faces,
    scene_without_face,
)
from model.extractor.window import WINDOW_PER_FACE_HEIGHT, Pyramid


@pytest.fixture(scope="module")
def person(extractor, portrait):
    found = extractor.extract(portrait)
    return LabelledPortrait(found.image, found.landmarks)


@pytest.fixture(scope="module")
def reference(extractor):
    return extractor.reader.network.reference.numpy()


@pytest.mark.parametrize("height", [(60, 110), (110, 220), (220, 950)])
@pytest.mark.parametrize("tilt", [(0, 15), (30, 45)])
def test_a_face_is_as_large_and_tilted_as_asked_and_where_the_scene_says(extractor, person, reference, height, tilt):
    rng = np.random.default_rng(1)
    for _ in range(4):
        scene = scene_with_face(person, person.picture, reference, rng, height=height, tilt=tilt)
        (face,) = scene.faces
        tall = face.side / WINDOW_PER_FACE_HEIGHT
        longest = max(scene.picture.shape[:2])
        assert 0.8 * min(height[0], longest / 3) < tall < 1.2 * min(height[1], longest)
        assert tilt[0] - 1e-6 <= abs(np.degrees(face.angle)) <= tilt[1] + 1e-6
        seen = extractor.reader.refine([Pyramid(scene.picture)], [face])[0]  # the face really is there
        assert seen.presence > 0.9
        assert seen.window.overlap(face) > 0.8
        assert np.degrees(seen.window.angle - face.angle) == pytest.approx(0, abs=8)
        inside = (seen.landmarks[:, :2] >= -3) & (seen.landmarks[:, :2] <= np.array(scene.picture.shape[1::-1]) + 3)
        assert inside.all(axis=1).mean() > 0.95


def test_several_faces_lie_beside_each_other_the_largest_first(extractor, person, reference):
    scene = scene_with_faces([person] * 3, person.picture, reference, np.random.default_rng(0))
    sides = [face.side for face in scene.faces]
    assert sides == sorted(sides, reverse=True)
    assert all(a.overlap(b) < 0.2 for a in scene.faces for b in scene.faces if a is not b)
    picture = Pyramid(scene.picture)
    seen = extractor.reader.refine([picture] * 3, list(scene.faces))
    assert all(sighting.window.overlap(face) > 0.8 for sighting, face in zip(seen, scene.faces, strict=True))


def test_the_same_seed_draws_the_same_scene(person, reference):
    first, second = (
        scene_with_face(person, person.picture, reference, np.random.default_rng(5), height=(60, 200), tilt=(0, 45))
        for _ in range(2)
    )
    assert np.array_equal(first.picture, second.picture)
    assert first.faces == second.faces


def test_scenes_without_a_face_have_none(extractor, person):
    rng = np.random.default_rng(0)
    backgrounds = [scene_without_face(person.picture, rng) for _ in range(4)]
    covered = scene_with_covered_face(person, person.picture, rng)
    assert all(scene.faces == () and scene.picture.shape[2] == 3 for scene in [*backgrounds, covered])
    middle = cv2.resize(covered.picture, (256, 256))[100:180, 100:160]
    assert np.abs(middle.astype(int) - person.picture[100:180, 100:160]).mean() > 5


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_change_a_picture_and_keep_its_format(person, name):
    changed = CONDITIONS[name](person.picture, np.random.default_rng(0))
    assert (changed.shape, changed.dtype) == (person.picture.shape, np.uint8)
    assert np.abs(changed.astype(int) - person.picture).mean() > 1


def test_sunglasses_cover_the_eyes_alone(person):
    worn = with_sunglasses(person)
    changed = (worn.picture != person.picture).any(axis=2)
    eyes = person.landmarks[[468, 473], :2].astype(int)
    assert all(worn.picture[y, x].max() < 40 for x, y in eyes)
    assert 0.01 < changed.mean() < 0.1
    assert np.array_equal(worn.landmarks, person.landmarks)
