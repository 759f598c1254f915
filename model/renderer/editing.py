"""The editing network: fills in what the warped source cannot show and removes what warping broke."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.renderer.config import EditingConfig, RendererConfig
from model.renderer.layers import AdaIN, ConvNorm, LayerNorm2d, SourceConv2d, lrelu


class ResidualBlock(nn.Module):
    """x + AdaIN(conv3(x))."""

    def __init__(self, channels: int, config: RendererConfig) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = AdaIN(channels, descriptor_size=config.descriptor_size, hidden=config.adain_hidden)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, C, H, W), z (B, Z) -> (B, C, H, W)."""
        y: Tensor = self.norm(self.conv(x), z)
        return x + y


class DecoderBlock(nn.Module):
    """Residual blocks, nearest x2 and a convolution, plus the encoder's map of that size through one of its own."""

    def __init__(self, in_channels: int, out_channels: int, config: RendererConfig) -> None:
        super().__init__()
        self.residual = nn.ModuleList(ResidualBlock(in_channels, config) for _ in range(config.editing.residual_blocks))
        self.up = ConvNorm(in_channels, out_channels)
        self.skip = ConvNorm(out_channels, out_channels)

    def forward(self, x: Tensor, encoded: Tensor, z: Tensor) -> Tensor:
        """x (B, in, H, W), encoded (B, out, 2H, 2W), z (B, Z) -> (B, out, 2H, 2W)."""
        for block in self.residual:
            x = block(x, z)
        enlarged: Tensor = self.up(F.interpolate(x, scale_factor=2, mode="nearest"))
        skipped: Tensor = self.skip(encoded)
        return enlarged + skipped


class EditingNetwork(nn.Module):
    """Source, warped source (and where that is doubtful) and descriptor -> the image, or a colour and a mask logit.

    With `patch` 2 it works at half the image's resolution: it reads squares of 2 x 2 pixels as one and paints as many
    (Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural
    network", CVPR 2016).
    """

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        sizes: EditingConfig = config.editing
        levels = range(sizes.layers)
        self.patch = config.patch
        self.first = SourceConv2d(3, 3 + config.doubt_maps, sizes.base_channels, kernel_size=7, stride=config.patch)
        self.first_norm = LayerNorm2d(sizes.base_channels)
        self.encoder = nn.ModuleList(ConvNorm(sizes.channels(level), sizes.channels(level + 1)) for level in levels)
        self.decoder = nn.ModuleList(
            DecoderBlock(sizes.channels(level + 1), sizes.channels(level), config) for level in reversed(levels)
        )
        kernel = 7 if config.patch == 1 else 3  # about as wide in the image's pixels
        pictures = 4 if config.guided else 3
        self.last = nn.Conv2d(sizes.base_channels, pictures * config.patch**2, kernel, padding=kernel // 2)

    @property
    def mask_channels(self) -> slice:
        """Which channels of `last` give the mask of a guided network."""
        return slice(3 * self.patch**2, None)

    def forward(self, stem: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """The output `stem` (B, base, H, W) of `first`, z (B, Z) -> colour (B, 3, H, W) in [-1, 1], logit (B, 1, H, W).

        The logit, of the share of the warped source in the image, has no channel unless the network is guided. Both are
        float32. With a patch the stem has a pixel for each.
        """
        x = lrelu(self.first_norm(stem))
        maps = []
        for encoder in self.encoder:
            maps.append(x)
            x = F.avg_pool2d(encoder(x), 2)
        for decoder in self.decoder:
            x = decoder(x, maps.pop(), z)
        y = self.last(x).float()
        if self.patch > 1:
            y = F.pixel_shuffle(y, self.patch)
        return torch.tanh(y[:, :3]), y[:, 3:]
