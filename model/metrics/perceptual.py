"""How far pictures look apart to a network that learned to tell what photos show (EfficientNet-Lite0)."""

import torch
from torch import Tensor

from model.metrics.efficientnet import EfficientNetLite0
from model.metrics.features import Features, perceptual_distance

__all__ = ["PerceptualDistance", "perceptual_distance"]


class PerceptualDistance:
    """Distances of pictures, 0 for equal ones."""

    def __init__(self) -> None:
        """Read the network.

        Raises WeightsError: its package is not installed, or damaged.
        """
        self._network = EfficientNetLite0()

    @torch.no_grad()
    def features(self, image: Tensor) -> Features:
        """What the network sees in images (B, 3, H, W) in [-1, 1], for `perceptual_distance`."""
        seen: Features = self._network(image)
        return seen

    def __call__(self, image: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Distances (B,) of images from targets (B, 3, H, W), both in [-1, 1].

        weight (B, 1, H, W), not negative: where to look; see `perceptual_distance`.
        """
        return perceptual_distance(self.features(image), self.features(target), weight)
