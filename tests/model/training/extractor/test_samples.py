import math
from typing import Any

import numpy as np
import pytest

from model.data.camera import distort, occlude, texture
from model.data.face_frames import build_frames
from model.errors import DataError
from model.extractor.linear_face import linear_face
from model.face.topology import mirror_permutation
from model.morphable import MorphableModel
from model.training.extractor.samples import Sampler, presence_of


@pytest.fixture(scope="module")
def store(drawn_corpus, tmp_path_factory):
    cache = tmp_path_factory.mktemp("frames")
    return build_frames(drawn_corpus, cache, split="train", size=96, frames_per_clip=6, still_share=0.5)


@pytest.fixture(scope="module")
def sampler(store):
    permutation = mirror_permutation(MorphableModel.load().mean.numpy())
    reference, _ = linear_face(store.landmarks, permutation, 4)
    return Sampler(store, permutation, reference, 64)


def test_stills_and_clips_share_the_draws_as_asked(store):
    assert store.pictures.shape[1:] == (96, 96, 3)
    assert store.probability.sum() == pytest.approx(1)
    assert store.probability[:6].sum() == pytest.approx(0.5)  # six stills, then the clip


def test_frames_are_decoded_once(drawn_corpus, tmp_path):
    wish: dict[str, Any] = {"split": "val", "size": 64, "frames_per_clip": 2, "still_share": 0.5}
    first = build_frames(drawn_corpus, tmp_path, **wish)
    written = (tmp_path / "frames-val.npy").stat().st_mtime_ns
    again = build_frames(drawn_corpus, tmp_path, **wish)
    assert (tmp_path / "frames-val.npy").stat().st_mtime_ns == written
    assert np.array_equal(first.pictures, again.pictures)
    build_frames(drawn_corpus, tmp_path, **wish | {"size": 48})
    assert (tmp_path / "frames-val.npy").stat().st_mtime_ns != written


def test_a_folder_without_index_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"index\.csv"):
        build_frames(tmp_path, tmp_path, split="train", size=64, frames_per_clip=2, still_share=0.5)


def test_the_same_generator_state_gives_the_same_batch(sampler):
    first, second = (sampler.batch(np.random.default_rng(3), 6) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert first.images.shape == (6, 3, 64, 64)
    assert not np.array_equal(first.images, sampler.batch(np.random.default_rng(4), 6).images)


def test_batches_hold_faces_and_non_faces(sampler):
    presence = sampler.batch(np.random.default_rng(5), 200).presence
    assert (presence == 0).mean() > 0.07
    assert (presence == 1).mean() > 0.4
    assert ((presence > 0) & (presence < 1)).any()


def test_landmarks_stay_on_the_drawn_lips(sampler):
    """Colour and place agree after cropping, turning and mirroring: the drawn inner lips are dark."""
    dark, whole = [], []
    batch = sampler.batch(np.random.default_rng(6), 300)
    for image, landmarks, presence in zip(batch.images, batch.landmarks, batch.presence, strict=True):
        if presence < 1:
            continue
        x, y = ((landmarks[[78, 308, 13, 14], :2].mean(axis=0) + 1) * 32).astype(int).clip(0, 63)
        brow = ((landmarks[9, :2] + 1) * 32).astype(int).clip(0, 63)
        dark.append(image[:, y, x].mean())
        whole.append(image[:, brow[1], brow[0]].mean())
    assert np.mean(np.array(dark) < np.array(whole)) > 0.8


@pytest.mark.parametrize(
    ("pose", "presence"),
    [
        ((0, 0, 0, 0), 1),
        ((0.2, -0.1, math.log(1.3), math.radians(45)), 1),
        ((1.0, 0, 0, 0), 0),
        ((0, 0, math.log(3), 0), 0),
        ((0, 0, -math.log(3), 0), 0),
        ((0, 0, 0, math.radians(180)), 0),
    ],
)
def test_presence_of_poses(pose, presence):
    assert presence_of(np.array(pose, dtype=float)) == presence


def test_presence_falls_with_what_is_cut_off():
    assert presence_of(np.zeros(4), 0.9) == 1
    assert 0 < presence_of(np.zeros(4), 0.7) < 1
    assert presence_of(np.zeros(4), 0.4) == 0


def test_distortions_keep_shape_and_type_and_are_not_idle():
    rng = np.random.default_rng(7)
    image = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    changed = 0
    for _ in range(40):
        result = distort(occlude(image, texture(64, rng), rng), rng)
        assert result.shape == (64, 64, 3)
        assert result.dtype == np.uint8
        changed += not np.array_equal(result, image)
    assert changed > 35
