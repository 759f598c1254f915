import cv2
import numpy as np
import pytest
import torch

from model.data.camera import texture
from model.errors import FaceIndexError, NoFaceError, WeightsError
from model.extractor import Extractor, Face


def test_extraction_of_a_portrait(extractor, portrait, portrait_box):
    found = extractor.extract(portrait)
    assert found.image.shape == (256, 256, 3)
    assert found.image.dtype == np.uint8
    assert np.array_equal(found.image, found.crop.cut(portrait))
    assert (found.landmarks.shape, found.identity.shape, found.motion.shape) == ((478, 3), (80,), (70,))
    assert {found.landmarks.dtype, found.identity.dtype, found.motion.dtype} == {np.dtype(np.float32)}
    assert np.isfinite(found.motion).all()
    assert found.confidence > 0.5
    x, y, width, height = portrait_box
    assert found.crop.side == pytest.approx(1.65 * height, rel=0.2)
    points = found.crop.points_to_source(found.landmarks)
    assert np.abs(points[:, :2].min(axis=0) - (x, y)).max() < 0.15 * height
    assert np.abs(points[:, :2].max(axis=0) - (x + width, y + height)).max() < 0.15 * height


@pytest.mark.slow
def test_the_face_asked_for_is_extracted(extractor, portrait):
    pair = np.hstack([portrait, portrait])
    faces = sorted(extractor.find_faces(pair), key=lambda face: face.x)
    assert len(faces) == 2
    left, right = (extractor.extract(pair, face) for face in faces)
    assert right.crop.x - left.crop.x == pytest.approx(portrait.shape[1], abs=0.05 * portrait.shape[1])
    assert left.motion[64:67] == pytest.approx(right.motion[64:67], abs=0.1)


def test_mirroring_the_photo_mirrors_the_pose(extractor, portrait):
    motion = extractor.extract(portrait).motion
    mirrored = extractor.extract(np.ascontiguousarray(portrait[:, ::-1])).motion
    assert mirrored[[64, 66]] == pytest.approx(-motion[[64, 66]], abs=np.radians(8))
    assert mirrored[65] == pytest.approx(motion[65], abs=np.radians(8))


def test_the_fitted_model_lies_on_the_landmarks(extractor, portrait):
    found = extractor.extract(portrait)
    rebuilt = extractor.morphable.landmarks(
        torch.from_numpy(found.identity)[None], torch.from_numpy(found.motion)[None]
    )
    assert np.linalg.norm((rebuilt[0].numpy() - found.landmarks)[:, :2], axis=-1).mean() < 2.0


@pytest.mark.slow
def test_a_picture_without_face_says_what_was_looked_for(extractor):
    with pytest.raises(NoFaceError, match=r"no face in the picture of 400 x 400 pixels; looked for whole faces"):
        extractor.extract(texture(400, np.random.default_rng(0)))


def test_a_face_where_there_is_none_is_refused(extractor, portrait):
    height, width = portrait.shape[:2]
    with pytest.raises(NoFaceError, match="confidence"):
        extractor.extract(portrait, Face(0.02 * width, 0.8 * height, 60, 70, 0.9))


@pytest.mark.parametrize("picture", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3))])
def test_other_pictures_than_rgb_are_refused(extractor, picture):
    with pytest.raises(ValueError, match="allowed is"):
        extractor.find_faces(picture)


def panning(portrait, count, step=2):
    """Frames of the portrait moving to the right by `step` pixels each."""
    wide = np.pad(portrait, ((0, 0), (count * step, 0), (0, 0)), mode="edge")
    for t in range(count):
        start = (count - t) * step
        yield np.ascontiguousarray(wide[:, start : start + portrait.shape[1]])


def test_a_video_has_one_crop_and_one_identity_and_its_motion_follows(extractor, portrait):
    small = np.ascontiguousarray(portrait[::2, ::2])
    found = list(extractor.extract_video(panning(small, 21)))
    assert len(found) == 21
    assert len({(e.crop.x, e.crop.y, e.crop.side) for e in found}) == 1
    assert all(np.array_equal(e.identity, found[0].identity) for e in found)
    assert all(e.confidence > 0.5 for e in found)
    moved = np.array([e.motion[68] for e in found]) * found[0].crop.side / 2  # offsets are in half crop sides
    assert moved[18] - moved[2] == pytest.approx(32, abs=6)
    assert np.array_equal(found[5].image, found[5].crop.cut(list(panning(small, 21))[5]))


@pytest.mark.slow
def test_another_face_than_the_largest_can_be_followed(extractor, portrait):
    small = cv2.resize(portrait, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    pair = np.full((portrait.shape[0], portrait.shape[1] + small.shape[1], 3), 90, np.uint8)
    pair[:, : portrait.shape[1]] = portrait
    pair[: small.shape[0], portrait.shape[1] :] = small
    largest, other = (next(extractor.extract_video([pair] * 9, face)) for face in (0, 1))
    assert largest.crop.x + largest.crop.side / 2 < portrait.shape[1]
    assert other.crop.x + other.crop.side / 2 > portrait.shape[1]
    with pytest.raises(FaceIndexError, match=r"face 2 of a video was asked for, .* has 2; allowed are 0 to 1"):
        next(extractor.extract_video([pair] * 9, 2))


def test_a_video_is_streamed(extractor, portrait):
    small = np.ascontiguousarray(portrait[::2, ::2])
    read = []

    def frames():
        for number in range(64):
            read.append(number)
            yield small

    results = extractor.extract_video(frames())
    next(results)
    assert len(read) <= 32
    results.close()


@pytest.mark.slow
def test_a_face_that_comes_late_is_waited_for_and_one_that_goes_early_is_held(extractor, portrait):
    small = np.ascontiguousarray(portrait[::2, ::2])
    empty = np.full_like(small, 60)
    found = list(extractor.extract_video([empty] * 20 + [small] * 12 + [empty] * 6))
    assert len(found) == 38
    assert found[:20] == [None] * 20
    assert found[20].confidence > 0.5
    assert found[37].confidence < 0.3
    assert np.abs(found[37].landmarks - found[28].landmarks).mean() < 3


@pytest.mark.parametrize("count", [0, 3, 40])
def test_a_video_without_face_is_refused(extractor, count):
    with pytest.raises(NoFaceError, match="frames"):
        list(extractor.extract_video([np.full((90, 120, 3), 60, np.uint8)] * count))


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(WeightsError, match="extractor"):
        Extractor.load(tmp_path)
