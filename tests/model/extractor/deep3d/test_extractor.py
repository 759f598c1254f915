"""The released extractor with a made network behind it: what is read where, not how well."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from model.errors import NoFaceError, WeightsError
from model.extractor import Extractor
from model.extractor.deep3d import Deep3DExtractor
from model.extractor.deep3d.alignment import Alignment, five_points
from tests.model.extractor.test_follower import panned
from tests.support.deep3d import FACE


@pytest.fixture(scope="module")
def plain() -> Extractor:
    return Extractor.load()


@pytest.fixture(scope="module")
def extractor(plain, imported) -> Deep3DExtractor:
    return Deep3DExtractor.load_beside(plain, imported, device="cpu")


@pytest.mark.slow
@torch.no_grad()
def test_a_portraits_motion_is_that_of_its_aligned_crop(plain, extractor, portrait):
    own, theirs = plain.extract(portrait), extractor.extract(portrait)
    assert (plain.motion_space, extractor.motion_space) == ("open478", "bfm-deep3d")
    assert np.array_equal(own.image, theirs.image)
    assert np.array_equal(own.identity, theirs.identity)
    assert (theirs.motion.shape, theirs.motion.dtype) == ((73,), np.float32)

    alignment = Alignment.of(five_points(own.landmarks)[:, :2] - 0.5, FACE, 256, 256)
    window = alignment.cut(own.image)
    assert (window.any(axis=2)).mean() > 0.9  # the face fills it
    assert theirs.motion[70:] == pytest.approx([alignment.scale, alignment.x, alignment.y], rel=1e-5)
    assert (theirs.motion[70:] > (0.5, 80, 80)).all()
    assert (theirs.motion[70:] < (2.0, 176, 176)).all()  # in the middle of the crop
    coefficients = extractor.network(torch.from_numpy(window)[None])[0].numpy()
    row = extractor.rows([own])[0]
    assert row[:257] == pytest.approx(coefficients, abs=1e-4)
    assert row[257:259].tolist() == [256, 256]
    wanted = np.concatenate([coefficients[80:144], coefficients[224:227], coefficients[254:257]])
    assert theirs.motion[:70] == pytest.approx(wanted, abs=1e-4)


def test_the_size_of_the_photo_does_not_count(extractor, portrait):
    small = cv2.resize(portrait, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    first, second = (extractor.extract(photo).motion for photo in (portrait, small))
    assert first[70] == pytest.approx(second[70], rel=0.03)
    assert first[71:] == pytest.approx(second[71:], abs=4)


@pytest.mark.slow
def test_each_frame_of_a_video_is_read_by_itself(plain, extractor, portrait):
    frames = list(panned(portrait, 10))
    found = list(extractor.extract_video(frames))
    own = list(plain.extract_video(frames))
    assert len(found) == 10
    rows = np.concatenate([extractor.rows([extraction]) for extraction in own])
    motions = np.stack([extraction.motion for extraction in found])
    assert motions[:, :64] == pytest.approx(rows[:, 80:144], abs=1e-3)
    assert motions[:, 70:] == pytest.approx(rows[:, 259:], rel=1e-4)
    assert np.diff(motions[:, 71]).mean() > 0  # the face goes to the right in a crop that stays


@pytest.mark.slow
def test_nothing_is_read_before_a_face_comes_and_the_motion_read_last_stays_when_it_has_gone(extractor, portrait):
    frames = list(panned(portrait, 5))
    nothing = [np.full_like(frames[0], 127)] * 6
    found = list(extractor.extract_video([*nothing, *frames, *nothing]))
    assert found[:6] == [None] * 6
    seen = [extraction.seen for extraction in found[6:]]
    motions = np.stack([extraction.motion for extraction in found[6:]])
    last = max(number for number, one in enumerate(seen) if one)
    assert seen[0]
    assert not any(seen[5:])
    assert (motions[last:] == motions[last]).all()
    assert (motions[last] != motions[0]).any()


@pytest.mark.slow
def test_weights_that_do_not_fit_are_named(plain, imported, tmp_path):
    with pytest.raises(WeightsError, match=r"no weights card 'extractor-bfm-deep3d\.json'"):
        Deep3DExtractor.load_beside(plain, tmp_path)
    for path in imported.glob("extractor-bfm-deep3d.*"):
        shutil.copy(path, tmp_path)
    weights = tmp_path / "extractor-bfm-deep3d.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="has another checksum than its card"):
        Deep3DExtractor.load_beside(plain, tmp_path)
    card = tmp_path / "extractor-bfm-deep3d.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "sha256": None}))
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        Deep3DExtractor.load_beside(plain, tmp_path)


def test_no_face_is_no_face(extractor):
    with pytest.raises(NoFaceError, match="no face in the picture"):
        extractor.extract(np.full((300, 300, 3), 127, np.uint8))
