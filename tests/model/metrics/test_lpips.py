"""LPIPS with made-up weights in the authors' layout: the arithmetic, and what is said of files that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.errors import WeightsError
from model.metrics.lpips import AlexLPIPS

SHAPES = {
    "net.slice1.0": (64, 3, 11, 11),
    "net.slice2.3": (192, 64, 5, 5),
    "net.slice3.6": (384, 192, 3, 3),
    "net.slice4.8": (256, 384, 3, 3),
    "net.slice5.10": (256, 256, 3, 3),
}


@pytest.fixture
def content() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    made = {}
    for number, (name, shape) in enumerate(SHAPES.items()):
        made[f"{name}.weight"] = torch.randn(shape) / np.sqrt(np.prod(shape[1:]))
        made[f"{name}.bias"] = torch.randn(shape[0]) * 0.1
        made[f"lin{number}.model.1.weight"] = torch.rand(1, shape[0], 1, 1)
    return made


@pytest.fixture
def metric(content: dict[str, torch.Tensor], tmp_path: Path) -> AlexLPIPS:
    torch.save(content, tmp_path / "lpips.pth")
    return AlexLPIPS(tmp_path / "lpips.pth")


def test_equal_pictures_are_at_no_distance_and_more_noise_is_farther(metric: AlexLPIPS) -> None:
    generator = np.random.default_rng(0)
    picture = generator.integers(60, 190, (2, 64, 64, 3)).astype(np.uint8)
    noise = generator.normal(size=picture.shape)
    near, far = (np.clip(picture + sigma * noise, 0, 255).astype(np.uint8) for sigma in (5, 40))
    assert (metric.compare(picture, picture) == 0).all()
    assert (metric.compare(near, picture) < metric.compare(far, picture)).all()


def test_the_first_layer_by_hand(metric: AlexLPIPS, content: dict[str, torch.Tensor]) -> None:
    for number in range(1, 5):
        metric.get_buffer(f"channels_{number}").zero_()
    a, b = torch.rand(2, 1, 3, 64, 64) * 2 - 1

    def features(image: torch.Tensor) -> torch.Tensor:
        shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
        scaled = (image - shift) / torch.tensor([0.458, 0.448, 0.450])[:, None, None]
        weight, bias = content["net.slice1.0.weight"], content["net.slice1.0.bias"]
        return F.normalize(F.relu(F.conv2d(scaled, weight, bias, stride=4, padding=2)), dim=1)

    wanted = (content["lin0.model.1.weight"] * (features(a) - features(b)) ** 2).sum(1).mean()
    torch.testing.assert_close(metric(a, b)[0], wanted)


def test_files_that_do_not_fit_are_refused(content: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth cannot be read: FileNotFoundError"):
        AlexLPIPS(tmp_path / "nowhere.pth")
    del content["lin3.model.1.weight"]
    torch.save(content, tmp_path / "lpips.pth")
    with pytest.raises(WeightsError, match=r"lin3\.model\.1\.weight is missing; it must be \(1, 256, 1, 1\)"):
        AlexLPIPS(tmp_path / "lpips.pth")
