"""LPIPS (Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018) on AlexNet.

The weights are not ours to ship: the file is the state dict of the authors' `LPIPS(net="alex")`, as
`torch.save(lpips.LPIPS(net="alex").state_dict(), "lpips-alex.pth")` writes it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.arrays import Array, Frames
from model.errors import WeightsError
from model.weights.files import read_state_dict

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# AlexNet's convolutions: their names in the file, channels out and in, kernel, stride, padding; pooling goes before
# those marked.
_LAYERS = (
    ("net.slice1.0", 64, 3, 11, 4, 2, False),
    ("net.slice2.3", 192, 64, 5, 1, 2, True),
    ("net.slice3.6", 384, 192, 3, 1, 1, True),
    ("net.slice4.8", 256, 384, 3, 1, 1, False),
    ("net.slice5.10", 256, 256, 3, 1, 1, False),
)


class AlexLPIPS(nn.Module):
    """Distances of pictures, 0 for equal ones."""

    def __init__(self, weights: Path) -> None:
        """Read the state dict `weights`.

        Raises WeightsError: the file is missing, damaged, or its tensors do not fit.
        """
        super().__init__()
        content = read_state_dict(weights, "LPIPS")
        self.convolutions = nn.ModuleList()
        for number, (name, out, into, kernel, stride, padding, _) in enumerate(_LAYERS):
            convolution = nn.Conv2d(into, out, kernel, stride=stride, padding=padding)
            for key, parameter in convolution.named_parameters():
                parameter.data = _tensor(content, f"{name}.{key}", parameter.shape, weights)
            self.convolutions.append(convolution)
            self.register_buffer(
                f"channels_{number}", _tensor(content, f"lin{number}.model.1.weight", (1, out, 1, 1), weights)
            )
        self.requires_grad_(requires_grad=False)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Distances (B,) of images (B, 3, H, W) in [-1, 1]; both sides at least 63 pixels."""
        distance = image.new_zeros(len(image))
        for number, (a, b) in enumerate(zip(self._features(image), self._features(target), strict=True)):
            channels: Tensor = self.get_buffer(f"channels_{number}")
            distance = distance + ((a - b).square() * channels).sum(1).mean((1, 2))
        return distance

    @torch.inference_mode()
    def compare(self, pictures: Frames, target: Array) -> Array:
        """Distances (B,) of pictures (B, H, W, 3) uint8."""
        ours, theirs = (
            torch.from_numpy(np.ascontiguousarray(side)).permute(0, 3, 1, 2).float() / 127.5 - 1
            for side in (pictures, target)
        )
        distance: Array = self(ours, theirs).numpy()
        return distance

    def _features(self, image: Tensor) -> list[Tensor]:
        """Maps after each convolution, every place's channels of unit length."""
        x = (image - image.new_tensor(_SHIFT)[:, None, None]) / image.new_tensor(_SCALE)[:, None, None]
        maps = []
        for convolution, (*_, pooled) in zip(self.convolutions, _LAYERS, strict=True):
            x = F.relu(convolution(F.max_pool2d(x, 3, 2) if pooled else x))
            maps.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return maps


def _tensor(content: Mapping[str, Any], key: str, shape: tuple[int, ...], path: Path) -> Tensor:
    found = content.get(key)
    if not isinstance(found, Tensor) or tuple(found.shape) != tuple(shape):
        got = "missing" if found is None else tuple(getattr(found, "shape", ()))
        raise WeightsError(f"LPIPS weights {path}: {key} is {got}; it must be {tuple(shape)}")
    return found.float()
