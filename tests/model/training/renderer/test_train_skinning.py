"""A tiny training of the skinning network on synthetic heads: the loss falls, the run resumes, the weights load."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.data.views import ViewData
from model.morphable import MorphableModel
from model.renderer.prior.skinning import PICTURE_SIDE, SkinningNetwork
from model.training.renderer.train_skinning import SkinningConfig, skinning_loss, train
from model.weights.files import load_weights


def config(steps: int) -> SkinningConfig:
    return SkinningConfig(steps=steps, portraits=2, frames_per_clip=10, evaluation_clips=2, ema_half_life_steps=5)


@pytest.fixture(scope="module")
def run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("skinning")
    train(config(30), data=tiny_corpus, out=out)
    return out


@pytest.fixture(scope="module")
def views(tiny_corpus: Path, run: Path) -> ViewData:
    return ViewData(tiny_corpus, run / "cache", split="train", frames_per_clip=10, size=PICTURE_SIDE)


@pytest.mark.slow
def test_the_loss_falls(run: Path, views: ViewData) -> None:
    batch = views.batch([np.random.default_rng(1000 + number) for number in range(8)])
    with torch.no_grad():
        before, after = (skinning_loss(network, batch) for network in (SkinningNetwork(), SkinningNetwork.load(run)))
    assert after < 0.97 * before
    card = load_weights("skinning", run)[1]
    assert card["figures"]["psnr_prior"] > 10
    assert (run / "sheets" / "held-out-0000030.png").is_file()


@pytest.mark.slow
def test_a_run_cut_short_ends_as_one_that_was_not(run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").symlink_to(run / "cache")
    train(config(2), data=tiny_corpus, out=tmp_path)
    saved = torch.load(tmp_path / "checkpoint-00000002.pt", weights_only=True)
    assert saved["step"] == 2
    train(config(4), data=tiny_corpus, out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "psnr_prior" in line] == [2, 4]


def test_views_are_seen_as_their_motions_say(views: ViewData, morphable: MorphableModel) -> None:
    """Zoomed and mirrored as they are, the model's own landmarks still lie where the view has them."""
    batch = views.batch([np.random.default_rng(number) for number in range(12)])
    assert batch.source.shape == (12, 3, PICTURE_SIDE, PICTURE_SIDE)
    assert batch.targets.shape == (12, 3, 3, PICTURE_SIDE, PICTURE_SIDE)
    fit = morphable.fit(batch.landmarks)
    assert torch.allclose(fit.motion[:, 64:67], batch.motion[:, 64:67], atol=0.06)
    assert torch.allclose(fit.motion[:, 67:], batch.motion[:, 67:], atol=0.02)
    assert (batch.motion[:, 67].exp() / views.clips[0].motions[0][:, 67].exp().mean()).max() > 1.05  # some are zoomed


def test_without_change_little_of_the_loss_is_left(views: ViewData) -> None:
    batch = views.batch([np.random.default_rng(7)])
    still = type(batch)(
        batch.source,
        batch.source[:, None].expand(-1, 3, -1, -1, -1),
        batch.landmarks,
        batch.motion,
        batch.landmarks[:, None].expand(-1, 3, -1, -1),
        batch.motion[:, None].expand(-1, 3, -1),
    )
    with torch.no_grad():
        assert skinning_loss(SkinningNetwork(), still) < 0.2 * skinning_loss(SkinningNetwork(), batch) + 0.13
