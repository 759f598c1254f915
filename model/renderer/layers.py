"""The layers that the warping and the editing network share.

Letters: B batch, C channels, H height, W width, Z descriptor size.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NEGATIVE_SLOPE = 0.1
EPSILON = 1e-5

Module = TypeVar("Module", bound=nn.Module)


def lrelu(x: Tensor) -> Tensor:
    """LeakyReLU of the whole network, in place: callers hand over a tensor that nobody else reads."""
    return F.leaky_relu(x, NEGATIVE_SLOPE, inplace=True)


def normalize_instances(x: Tensor) -> Tensor:
    """Each map of x (B, C, H, W) with zero mean and unit variance.

    One group per channel is instance norm; group_norm keeps channels_last and bfloat16 inputs as they are and
    accumulates in float32.
    """
    if x.device.type == "cpu" and x.requires_grad and torch.is_grad_enabled():
        normalized: Tensor = _InstanceNorm.apply(x)
        return normalized
    return F.group_norm(x, x.shape[1], eps=EPSILON)


class _InstanceNorm(torch.autograd.Function):
    """group_norm with a gradient for CPUs: in bfloat16 torch's own takes some twenty times as long, a group a channel.

    With y = (x - mean) / deviation the gradient is (g - mean(g) - y mean(g y)) / deviation, means being over a map
    (Ioffe and Szegedy, "Batch normalization", ICML 2015, section 3, for one map instead of a batch).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        y, _, rate = torch.native_group_norm(x, None, None, batch, channels, height * width, channels, EPSILON)
        ctx.save_for_backward(y, rate)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        y, rate = ctx.saved_tensors
        batch, channels, height, width = y.shape
        # Pixels by channels, as they lie in channels_last; a mean over pixels is then a product with ones.
        g, y = (maps.permute(0, 2, 3, 1).reshape(batch, -1, channels) for maps in (gradient, y))
        ones = g.new_ones(1, 1, 1).expand(batch, 1, height * width)
        mean, slope = (torch.bmm(ones, maps) / (height * width) for maps in (g, g * y))
        rate = rate.unsqueeze(1)
        result = torch.addcmul((-mean * rate).to(g.dtype), g, rate.to(g.dtype))
        result.addcmul_(y, (-slope * rate).to(g.dtype))
        return result.view(batch, height, width, channels).permute(0, 3, 1, 2)


class LayerNorm2d(nn.GroupNorm):
    """Layer norm over (C, H, W) with an affine per channel, which is group norm with a single group."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels, eps=EPSILON)


class AdaIN(nn.Module):
    """Adaptive instance norm: IN(x) * (1 + gamma(z)) + beta(z).

    Split in two so that norms which read the same tensor share its statistics: `normalize_instances`, then `modulate`.
    """

    def __init__(self, channels: int, *, descriptor_size: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(descriptor_size, hidden)
        self.affine = nn.Linear(hidden, 2 * channels)  # gamma, then beta

    def modulate(self, normalized: Tensor, z: Tensor) -> Tensor:
        """Scale and shift the maps of `normalized` (B or 1, C, H, W) as z (B, Z) says; (B, C, H, W)."""
        gamma, beta = self.affine(F.relu(self.hidden(z)))[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(beta, normalized, 1 + gamma)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, C, H, W), z (B, Z) -> (B, C, H, W)."""
        return self.modulate(normalize_instances(x), z)


class SourceConv2d(nn.Conv2d):
    """A convolution whose first `source_channels` input channels show the source, the same for all frames of a job.

    forward reads the whole input; source_part + frame_part are its two summands (see `PIRenderer.prepare`).
    """

    def __init__(
        self, source_channels: int, frame_channels: int, out_channels: int, *, kernel_size: int, stride: int = 1
    ) -> None:
        channels = source_channels + frame_channels
        super().__init__(channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2)
        self.source_channels = source_channels

    def source_part(self, source: Tensor) -> Tensor:
        """What the source (B, source_channels, H, W) adds to the output, bias included."""
        weight = self.weight[:, : self.source_channels]
        return F.conv2d(source, weight, self.bias, stride=self.stride, padding=self.padding)

    def frame_part(self, x: Tensor) -> Tensor:
        """What the other channels (B, frame_channels, H, W) add to the output."""
        return F.conv2d(x, self.weight[:, self.source_channels :], stride=self.stride, padding=self.padding)


class ConvNorm(nn.Module):
    """conv3, layer norm, lrelu."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = LayerNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, in, H, W) -> (B, out, H, W)."""
        return lrelu(self.norm(self.conv(x)))


def typed(modules: nn.ModuleList, kind: type[Module]) -> Iterator[Module]:
    """The modules of a list, as what they are."""
    for module in modules:
        if not isinstance(module, kind):
            raise TypeError(f"{type(module).__name__} where {kind.__name__} is expected")
        yield module
