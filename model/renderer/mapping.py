"""The mapping network: a window of motion becomes a descriptor z."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.renderer.config import MAPPING_LAYERS, MAPPING_SHRINKAGE, RendererConfig
from model.renderer.layers import NEGATIVE_SLOPE


def motion_windows(motions: Tensor, radius: int) -> Tensor:
    """The window around every frame, indices clamped at the ends: motions (T, D) -> (T, D, 2 * radius + 1)."""
    frames = torch.arange(motions.shape[0], device=motions.device)
    offsets = torch.arange(-radius, radius + 1, device=motions.device)
    return motions[(frames[:, None] + offsets).clamp_(0, motions.shape[0] - 1)].transpose(1, 2)


class MappingNetwork(nn.Module):
    """z = f_m(p): convolutions over time without padding, then the mean over the frames that are left."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        size = config.descriptor_size
        self.window_radius = config.window_radius
        self.first = nn.Conv1d(config.motion_dimension, size, 7)
        self.layers = nn.ModuleList(nn.Conv1d(size, size, 3, dilation=3) for _ in range(MAPPING_LAYERS))

    def _features(self, motion: Tensor) -> Tensor:
        """Motion (B, D, N) -> (B, Z, N - 24)."""
        x: Tensor = self.first(motion)
        for layer in self.layers:
            x = layer(F.leaky_relu(x, NEGATIVE_SLOPE)) + x[:, :, 3:-3]
        return x

    def forward(self, motion: Tensor) -> Tensor:
        """Windows of motion (B, D, 2 * radius + 1) -> descriptors (B, Z)."""
        return self._features(motion).mean(dim=2)

    def describe_sequence(self, motions: Tensor) -> Tensor:
        """Descriptors of all frames of a sequence (T, D) -> (T, Z).

        The same numbers as `forward(motion_windows(motions, radius))`; the convolutions run over the sequence once and
        only the mean slides.
        """
        radius = self.window_radius
        x = self._features(F.pad(motions.T[None], (radius, radius), mode="replicate"))
        return F.avg_pool1d(x, 2 * radius + 1 - MAPPING_SHRINKAGE, stride=1)[0].T
