"""A tiny training on synthetic heads: the loss falls, the run resumes, the weights animate."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.extractor import Extraction
from model.extractor.crop import Crop
from model.morphable import MorphableModel
from model.renderer.animate import Animator
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.renderer.train import CPU_LOSS, PhaseConfig, RendererTrainingConfig, train

TINY = RendererConfig(
    motion_dimension=70,
    descriptor_size=32,
    adain_hidden=16,
    warping=WarpingConfig(base_channels=8, max_channels=16),
    editing=EditingConfig(base_channels=8, max_channels=16),
    guided=True,
    grid="aligned",
)


def config(steps: int) -> RendererTrainingConfig:
    phases = (
        PhaseConfig(until=0.5, size=64, pairs=2, learning_rate=2e-3, edit=False, loss=CPU_LOSS),
        PhaseConfig(until=1.0, size=64, pairs=2, learning_rate=2e-3, loss=CPU_LOSS),
    )
    return RendererTrainingConfig(network=TINY, phases=phases, steps=steps, frames_per_clip=10, evaluation_clips=2)


@pytest.fixture(scope="module")
def run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(config(60), data=tiny_corpus, out=out)
    return out


@pytest.mark.slow
def test_training_beats_copying_on_held_out_people(run: Path) -> None:
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert last["psnr_image"] > last["psnr_copy"] + 0.5
    assert (run / "sheets" / "held-out-0000060.png").is_file()


@pytest.mark.slow
def test_a_longer_run_goes_on_from_the_checkpoint(run: Path, tiny_corpus: Path) -> None:
    train(config(64), data=tiny_corpus, out=run)
    assert (run / "checkpoint-00000064.pt").is_file()
    assert [path.name for path in run.glob("checkpoint-00000060.pt")]


@pytest.mark.slow
def test_a_new_run_starts_from_released_weights(run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    train(config(1).model_copy(update={"start_from": run}), data=tiny_corpus, out=tmp_path)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert first["psnr_image"] > first["psnr_copy"] + 0.5


@pytest.mark.slow
def test_the_released_weights_animate(run: Path, morphable: MorphableModel) -> None:
    animator = Animator.load(engine="torch", directory=run)
    landmarks = morphable.landmarks(torch.zeros(1, 80), torch.zeros(1, 70))[0].numpy()
    portrait = Extraction(
        crop=Crop(0, 0, 256),
        image=np.full((256, 256, 3), 128, np.uint8),
        landmarks=landmarks,
        identity=np.zeros(80, np.float32),
        motion=np.zeros(70, np.float32),
        confidence=1.0,
    )
    parts = list(animator.animate(portrait, np.zeros((7, 70), np.float32), batch_size=3))
    assert [part.shape for part in parts] == [(3, 256, 256, 3), (3, 256, 256, 3), (1, 256, 256, 3)]
    some = list(animator.animate(portrait, np.zeros((7, 70), np.float32), frames=[1, 5]))
    np.testing.assert_array_equal(some[0], parts[0][:2])
