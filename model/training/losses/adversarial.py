"""A discriminator of patches (Isola et al., CVPR 2017) that looks where the prior guesses.

What a portrait does not show is not to be known from it, and L1 answers with the mean of all that it could be: a blur.
A discriminator accepts any one of them. It is small, so that it costs a few per cent of a step.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Strided convolutions with spectral norm (Miyato et al., ICLR 2018)."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairwise(widths))
        self.last = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, 3, H, W) in [-1, 1] -> scores (B, 1, H/8, W/8), high for real."""
        for layer in self.layers:
            image = F.leaky_relu(layer(image), 0.2)
        scores: Tensor = self.last(image)
        return scores


def discriminator_loss(real: Tensor, made: Tensor, weight: Tensor) -> Tensor:
    """Hinge loss of scores (B, 1, h, w), patches counting by weight (B, 1, H, W)."""
    return _mean(F.relu(1 - real) + F.relu(1 + made), weight)


def adversarial_loss(scores: Tensor, weight: Tensor) -> Tensor:
    """How real the discriminator's scores (B, 1, h, w) of made pictures are not, by weight (B, 1, H, W)."""
    return _mean(-scores.float(), weight)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values (B, 1, h, w) times weight (B, 1, H, W), which is brought to their size.

    It is not divided by the weights: that would make much of a picture that hardly has any.
    """
    share = F.adaptive_avg_pool2d(weight, (values.shape[2], values.shape[3]))
    return (values.float() * share).mean()
