"""Losses on the pixels themselves."""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.metrics.features import image_pyramid


def multi_scale_l1(image: Tensor, target: Tensor, *, scales: int) -> Tensor:
    """Mean over the scales (full, half, quarter ...) of the mean absolute difference; images (B, 3, H, W)."""
    pairs = zip(image_pyramid(image, scales), image_pyramid(target, scales), strict=True)
    return torch.stack([F.l1_loss(a, b) for a, b in pairs]).mean()


def region_weighted_l1(image: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over the pictures of each one's weighted mean of the absolute difference.

    image and target (B, 3, H, W); weight (B, 1, H, W), not negative; a picture whose weights are all zero counts 0.
    """
    difference = (image - target).abs().mean(dim=1, keepdim=True)
    return ((weight * difference).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-6)).mean()
