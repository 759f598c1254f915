"""Photos as training pairs: the source is the photo moved, the target is the photo."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.data.clips import openings
from model.data.pairs import GAP_WEIGHT, PairData, region_weight
from model.data.stills import Still, load_stills, moved_motion
from model.morphable import MorphableModel
from model.renderer.warping import warp


@pytest.fixture(scope="module")
def still(tiny_corpus: Path, morphable: MorphableModel) -> Still:
    return load_stills(tiny_corpus, morphable, split="train")[0]


def test_mirrored_motion_is_the_mirror_images(still: Still) -> None:
    yaw = [float(motion[64]) for motion in still.motions]
    assert yaw[1] == pytest.approx(-yaw[0], abs=0.04)
    assert still.landmarks[1][1, 0] == pytest.approx(256 - float(still.landmarks[0][1, 0]))


def test_a_moved_still_takes_the_most_closed_mouth_of_the_frames(still: Still, morphable: MorphableModel) -> None:
    generator = np.random.default_rng(0)
    others = torch.from_numpy(generator.normal(size=(6, 70))).float()

    def opening(motion: torch.Tensor) -> float:
        frontal = torch.cat([motion[:64], torch.zeros(6)])
        return float(openings(morphable.landmarks(still.identities[0], frontal[None]).numpy())[0, 1])

    least = min(opening(motion) for motion in others)
    moved = [opening(moved_motion(still, 0, others, morphable, generator)) for _ in range(20)]
    assert sum(value == pytest.approx(least, abs=0.01) for value in moved) >= 10
    angles = torch.stack([moved_motion(still, 0, others, morphable, generator)[64:67] for _ in range(40)])
    assert 6 < float(angles[:, 0].std() * 180 / np.pi) < 20


def test_a_pair_of_stills_leads_back_to_the_photo(tiny_corpus: Path, tmp_path: Path) -> None:
    data = PairData(tiny_corpus, tmp_path, split="train", frames_per_clip=4, stills=1.0)
    batch = data.batch([np.random.default_rng(1), np.random.default_rng(2)], 256)
    assert batch.source.shape == batch.target.shape == (4, 3, 256, 256)
    assert torch.equal(batch.motion[..., 0], batch.motion[..., 26])
    assert (batch.source - batch.target).abs().mean() > 0.02
    back = warp(batch.source, batch.prior_flow, grid="aligned")
    assert (back - batch.target).abs().mean() < 0.5 * (batch.source - batch.target).abs().mean()


def test_an_open_mouths_inside_weighs_more(still: Still) -> None:
    points = still.landmarks[0][None].clone()
    points[:, [14, 87, 317, 178, 402], 1] = points[:, [13, 82, 312, 81, 311], 1] + 16.0
    weight = region_weight(points, 256)[0, 0]
    x, y = points[0, [13, 14], :2].mean(0).tolist()
    assert weight[int(y), int(x)] > GAP_WEIGHT
    assert weight[8, 8] < 1e-9
