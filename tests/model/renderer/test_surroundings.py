"""What stands around the face follows the head as far as it should, and learns to from pairs of frames."""

import json
from pathlib import Path

import pytest
import torch

from model.errors import WeightsError
from model.morphable import MorphableModel
from model.renderer.surroundings import ABOVE, BELOW, NAME, Surroundings
from model.renderer.train_surroundings import SurroundingsConfig, train
from model.weights.files import load_weights, save_weights


@pytest.fixture(scope="module")
def surroundings() -> Surroundings:
    return Surroundings.load()


def landmarks(morphable: MorphableModel, **motion: float) -> torch.Tensor:
    index = {"yaw": 64, "roll": 66, "x": 68}
    motions = torch.zeros(1, 70)
    for name, value in motion.items():
        motions[0, index[name]] = value
    return morphable.landmarks(torch.zeros(1, 80), motions)


def displacement(surroundings: Surroundings, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """How far what is seen at a place has come, (2, 128, 128), in pixels of the 256 crop."""
    return -2 * surroundings(source, target, 128)[0]


def test_hair_goes_with_the_head_and_shoulders_stay(surroundings: Surroundings, morphable: MorphableModel) -> None:
    rest, target = landmarks(morphable), landmarks(morphable, x=0.15)  # 19.2 px to the right
    moved = displacement(surroundings, rest, target)[0]
    top, chin = (target[0, number, :2] / 2 for number in (10, 152))
    middle, height = int(top[0]), float(chin[1] - top[1])
    hair = moved[max(0, int(top[1] - 0.08 * height)), middle]
    assert hair > 0.8 * 19.2
    shoulders = moved[min(127, int(chin[1] + 0.45 * height)), [middle - 45, middle + 45]]
    assert shoulders.abs().max() < 0.35 * 19.2


def test_the_picture_s_corners_stay(surroundings: Surroundings, morphable: MorphableModel) -> None:
    moved = displacement(surroundings, landmarks(morphable), landmarks(morphable, yaw=0.5))
    assert moved[:, [0, 0, -1, -1], [0, -1, 0, -1]].abs().max() < 3


def test_left_and_right_are_mirror_images(surroundings: Surroundings, morphable: MorphableModel) -> None:
    rest = landmarks(morphable)
    mirrored = rest.clone()
    mirrored[..., 0] = 256 - mirrored[..., 0]
    # The rim is listed from the left ear to the right one, so a mirrored head is its own list reversed.
    even = rest.clone()
    for rim in (ABOVE, BELOW):
        even[:, rim] = (rest[:, rim] + mirrored[:, rim[::-1]]) / 2
    even[:, 168, 0] = 128
    shift = torch.tensor([12.0, 0, 0])
    right = displacement(surroundings, even, even + shift)
    left = displacement(surroundings, even, even - shift)
    assert torch.allclose(right[0], -left[0].flip(-1), atol=0.3)


def test_training_learns_what_follows(tiny_corpus: Path, tmp_path: Path) -> None:
    config = SurroundingsConfig(size=64, pairs=40, held_out_pairs=20, steps=60, batch=8, frames_per_clip=10)
    train(config.model_copy(update={"steps": 1}), data=tiny_corpus, out=tmp_path / "start")
    train(config, data=tiny_corpus, out=tmp_path / "end", cache=tmp_path / "start" / "cache")
    start, end = (load_weights(NAME, tmp_path / name)[1]["figures"] for name in ("start", "end"))
    assert end["psnr_prior"] > start["psnr_prior"] > start["psnr_copy"]
    again = Surroundings.load(tmp_path / "end")
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state, card = load_weights(NAME)
    state.pop("follows")
    save_weights(tmp_path, NAME, state, {name: value for name, value in card.items() if name != "sha256"})
    with pytest.raises(WeightsError, match="missing \\['follows'\\]"):
        Surroundings.load(tmp_path)


def test_the_card_tells_what_it_brought() -> None:
    figures = json.loads((Path(__file__).parents[3] / "model" / "weights" / f"{NAME}.json").read_text())["figures"]
    assert figures["psnr_prior"] > figures["psnr_copy"] + 3
