"""The model is built from landmarks, twice the same but for rounding."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.morphable import MorphableModel
from model.training.morphable.train import MorphableConfig, train
from model.weights.files import read_card


@pytest.mark.slow
def test_training_repeats_and_is_usable(tiny_corpus: Path, tmp_path: Path) -> None:
    config = MorphableConfig(frames_per_clip=20)
    for name in ("first", "second"):
        train(config, data=tiny_corpus, out=tmp_path / name)
    first, second = (load_file(tmp_path / name / "open478.safetensors") for name in ("first", "second"))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, atol=1e-5, rtol=1e-4)  # 1e-5 is 0.001 pixels
    card = read_card("open478", tmp_path / "first")
    assert card["dimension"] == 70
    assert card["figures"]["expression_left_px"] < 0.5 * card["figures"]["expression_px"]
    model = MorphableModel.load(tmp_path / "first")
    assert torch.isfinite(model.landmarks(torch.zeros(1, 80), torch.zeros(1, 70))).all()
