"""Features of pictures by VGG-19, and how far two pictures are apart by features (Johnson et al., ECCV 2016).

Without a file of trained VGG weights the same network with fixed random weights serves: what counts is mostly the
network's structure (Liu et al., "A generic perceptual loss for modeling structured output dependencies", CVPR
2021).
"""

from pathlib import Path

import structlog
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.errors import WeightsError
from model.weights.files import read_state_dict

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

_PLAN: tuple[int | str, ...] = (
    *(64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool"),
    *(512, 512, 512, 512, "pool", 512),
)
"""VGG-19 up to relu5_1: the channels of its convolutions, and its poolings."""

_TAPS = (1, 6, 11, 20, 29)
"""Positions of LAYERS among the modules: each convolution is followed by its relu."""

_SEED = 20211013

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)

Features = list[Tensor]
"""Feature maps of one image batch, one per layer that is read, the finest first."""


class VGG19(nn.Module):
    """The convolutions of VGG-19 up to one of LAYERS, frozen; keys as torchvision names them (features.N.weight)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, deepest: str = "relu5_1", weights: Path | None = None) -> None:
        """Read `weights` (a state dict with torchvision's keys), or draw them when it is None; the log says which.

        Raises WeightsError: the file is missing, damaged, or its tensors do not fit.
        """
        super().__init__()
        if deepest not in LAYERS:
            raise ValueError(f"deepest is {deepest!r}; allowed are {', '.join(LAYERS)}")
        self.taps = _TAPS[: LAYERS.index(deepest) + 1]
        modules: list[nn.Module] = []
        channels = 3
        for step in _PLAN:
            if isinstance(step, str):
                modules.append(nn.MaxPool2d(2))
            else:
                modules += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU(inplace=True)]
                channels = step
        self.features = nn.Sequential(*modules[: self.taps[-1] + 1])
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1), persistent=False)
        if weights is None:
            self._draw()
        else:
            self._read(weights)
        structlog.get_logger().info("vgg19", weights="random, fixed" if weights is None else str(weights), upto=deepest)
        self.requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Features:
        """Image (B, 3, H, W) in [-1, 1] -> its feature maps."""
        x = ((image + 1) / 2 - self.mean) / self.deviation
        maps = []
        for position, module in enumerate(self.features):
            x = module(x)
            if position in self.taps:
                maps.append(x)
        return maps

    def _draw(self) -> None:
        generator = torch.Generator().manual_seed(_SEED)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def _read(self, path: Path) -> None:
        content = read_state_dict(path, "VGG")
        own = self.state_dict()
        wrong = [key for key in own if key not in content or content[key].shape != own[key].shape]
        if wrong:
            raise WeightsError(f"VGG weights {path} do not fit VGG-19; missing or misshapen: {wrong}")
        self.load_state_dict({key: content[key] for key in own})


def image_pyramid(image: Tensor, scales: int) -> list[Tensor]:
    """The image (B, C, H, W) at full, half, quarter ... size, `scales` of them."""
    pyramid = [image]
    for _ in range(scales - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    return pyramid


def perceptual_distance(got: Features, wanted: Features, weight: Tensor | None = None) -> Tensor:
    """Distances (B,) of pictures by their features: 0 for equal ones, some 1 for ones with nothing in common.

    The mean over the depths of sum(w |a - b|) / sum(w |b|), so that each depth counts alike however large its numbers
    are. weight (B, 1, H, W), not negative, says where to look; every map takes its mean over each of its own places.
    Without it w is 1; where it is zero everywhere the distance is 0.
    """
    ratios = []
    for a, b in zip(got, wanted, strict=True):
        off, size = (a.float() - b.float()).abs(), b.float().abs()
        if weight is not None:
            share = F.interpolate(weight.float(), size=b.shape[2:], mode="area")
            off, size = off * share, size * share
        ratios.append(off.sum((1, 2, 3)) / size.sum((1, 2, 3)).clamp_min(1e-6))
    return torch.stack(ratios).mean(dim=0)
