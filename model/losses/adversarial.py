"""A discriminator of patches (Isola et al., CVPR 2017) that looks at the mouth alone.

What is inside an opening mouth is not to be known from a closed one, and L1 answers with the mean of all that it could
be: a reddish blur. A discriminator accepts any one of them. It is small, so that it costs a few per cent of a step.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from model.losses.perceptual import Features, feature_loss

CROP = 80  # pixels of the 256 crop: lips of the widest mouths and their surroundings


class PatchDiscriminator(nn.Module):
    """Strided convolutions with spectral norm (Miyato et al., ICLR 2018)."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairwise(widths))
        self.last = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, image: Tensor) -> tuple[Tensor, Features]:
        """Image (B, 3, H, W) in [-1, 1] -> scores (B, 1, H/8, W/8), high for real, and the maps before them."""
        maps = []
        for layer in self.layers:
            image = F.leaky_relu(layer(image), 0.2)
            maps.append(image)
        return self.last(image), maps


def crops(images: Tensor, centres: Tensor) -> Tensor:
    """Squares (B, 3, s, s) of images (B, 3, S, S), s = S * CROP / 256, around centres (B, 2) in pixels of the 256 crop.

    Squares that would reach over the rim are shifted into the picture.
    """
    size = images.shape[-1]
    side = size * CROP // 256
    corners = (centres * (size / 256) - side / 2).round().long().clamp(0, size - side).tolist()
    return torch.stack([image[:, y : y + side, x : x + side] for image, (x, y) in zip(images, corners, strict=True)])


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """Hinge loss of scores."""
    return F.relu(1 - real).mean() + F.relu(1 + made).mean()


def generator_losses(discriminator: PatchDiscriminator, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """How real crops `made` (B, 3, s, s) do not look, and L1 of the discriminator's maps of both."""
    scores, maps = discriminator(made)
    with torch.no_grad():
        _, wanted = discriminator(real)
    return -scores.float().mean(), feature_loss(maps, wanted)
