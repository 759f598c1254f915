"""Pictures as training pairs: the source is the picture moved, the target is the picture."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.data import pairs
from model.data.clips import openings
from model.data.pairs import GAP_WEIGHT, PairData, region_weight
from model.data.warp_back import LARGEST_YAW, Picture, chances, load_photos, moved_motion
from model.morphable import MorphableModel
from model.renderer.guide import Guide
from model.renderer.warping import warp


@pytest.fixture(scope="module")
def photo(tiny_corpus: Path, morphable: MorphableModel) -> Picture:
    return load_photos(tiny_corpus, morphable, split="train")[0]


def test_mirrored_motion_is_the_mirror_images(photo: Picture) -> None:
    yaw = [float(motion[64]) for motion in photo.motions]
    assert yaw[1] == pytest.approx(-yaw[0], abs=0.04)
    assert photo.landmarks[1][1, 0] == pytest.approx(256 - float(photo.landmarks[0][1, 0]))


def test_a_moved_photo_takes_the_most_closed_mouth_of_the_frames(photo: Picture, morphable: MorphableModel) -> None:
    generator = np.random.default_rng(0)
    others = torch.from_numpy(generator.normal(size=(6, 70))).float()

    def opening(motion: torch.Tensor) -> float:
        frontal = torch.cat([motion[:64], torch.zeros(6)])
        return float(openings(morphable.landmarks(photo.identities[0], frontal[None]).numpy())[0, 1])

    least = min(opening(motion) for motion in others)
    moved = [opening(moved_motion(photo, 0, others, morphable, generator)) for _ in range(20)]
    assert sum(value == pytest.approx(least, abs=0.01) for value in moved) >= 10
    angles = torch.stack([moved_motion(photo, 0, others, morphable, generator)[64:67] for _ in range(40)])
    assert 10 < float(angles[:, 0].std() * 180 / np.pi) < 24
    assert float(angles[:, 0].abs().max()) <= LARGEST_YAW + 1e-6


def test_half_profiles_and_open_mouths_come_more_often(photo: Picture) -> None:
    turned = replace(photo, motions=(photo.motions[0] + torch.eye(70)[64] * 0.6, photo.motions[1]))
    often = chances([photo, turned, photo])
    assert often.sum() == pytest.approx(1)
    assert often[1] > 1.5 * often[0] == pytest.approx(1.5 * often[2])
    assert often.max() <= 5 * often.min()


def test_the_card_names_where_photos_come_from(tiny_corpus: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny_corpus, corpus)
    index = corpus / "index.csv"
    lines = index.read_text().splitlines()
    index.write_text("\n".join(line.replace(",,,,", ",photos/of,,,") if ",still," in line else line for line in lines))
    with_photos = PairData(corpus, tmp_path, split="train", frames_per_clip=4, warp_back=0.5)
    assert "photos/of" in with_photos.sources
    alone = PairData(corpus, tmp_path, split="train", frames_per_clip=4, warp_back=0.5, clips=("0000000000",))
    assert "photos/of" not in alone.sources  # who names clips wants these alone


@pytest.mark.slow
@pytest.mark.parametrize("photos", [True, False])
def test_a_pair_leads_back_to_the_picture(
    photos: bool, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "PHOTOS", float(photos))
    data = PairData(tiny_corpus, tmp_path, split="train", frames_per_clip=4, warp_back=1.0)
    batch = data.batch([np.random.default_rng(1), np.random.default_rng(2)], 256)
    assert batch.source.shape == batch.target.shape == (4, 3, 256, 256)
    assert torch.equal(batch.motion[..., 0], batch.motion[..., 26])
    assert (batch.source - batch.target).abs().mean() > 0.02
    assert batch.prior is not None
    guide = Guide(batch.prior)
    back = guide.complete(warp(batch.source, guide.flow, grid="aligned"))
    assert (back - batch.target).abs().mean() < 0.5 * (batch.source - batch.target).abs().mean()
    error = (back - batch.target).abs().mean(1, keepdim=True)
    doubted = (guide.doubtful * error).sum() / guide.doubtful.sum()
    assert doubted > 1.5 * error.mean()  # what is doubted is what is wrong


def test_a_run_is_judged_by_the_same_pictures_each_time(tiny_corpus: Path, tmp_path: Path) -> None:
    data = PairData(tiny_corpus, tmp_path, split="val", frames_per_clip=4)
    first, second = ([*data.back_from_the_side(128, pictures=3)] for _ in range(2))
    assert len(first) == 1  # the split has one photo
    assert torch.equal(first[0].source, second[0].source)
    assert not torch.equal(first[0].source, first[0].target)


def test_an_open_mouths_inside_weighs_more(photo: Picture) -> None:
    points = photo.landmarks[0][None].clone()
    points[:, [14, 87, 317, 178, 402], 1] = points[:, [13, 82, 312, 81, 311], 1] + 16.0
    weight = region_weight(points, 256)[0, 0]
    x, y = points[0, [13, 14], :2].mean(0).tolist()
    assert weight[int(y), int(x)] > GAP_WEIGHT
    assert weight[8, 8] < 1e-9
