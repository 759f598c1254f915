"""Perceptual and style loss on the features of a network (Johnson et al., ECCV 2016)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.metrics.features import Features


def feature_loss(got: Features, wanted: Features) -> Tensor:
    """Sum over the layers of the mean absolute difference."""
    return torch.stack([F.l1_loss(a.float(), b.float()) for a, b in zip(got, wanted, strict=True)]).sum()


def gram_matrix(maps: Tensor) -> Tensor:
    """Gram matrices of feature maps (B, C, H, W), divided by C H W: (B, C, C) in float32."""
    _, channels, height, width = maps.shape
    flat = maps.float().flatten(2)
    with torch.autocast(maps.device.type, enabled=False):
        return flat @ flat.transpose(1, 2) / (channels * height * width)


def style_loss(got: Features, wanted: Features) -> Tensor:
    """Sum over the layers of the mean absolute difference of Gram matrices."""
    return torch.stack([F.l1_loss(gram_matrix(a), gram_matrix(b)) for a, b in zip(got, wanted, strict=True)]).sum()
