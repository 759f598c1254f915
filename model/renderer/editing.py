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
    """Source, warped source and descriptor -> the image, or, when guided, a colour and a mask logit."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        sizes: EditingConfig = config.editing
        levels = range(sizes.layers)
        self.first = SourceConv2d(3, 3, sizes.base_channels, kernel_size=7)
        self.first_norm = LayerNorm2d(sizes.base_channels)
        self.encoder = nn.ModuleList(ConvNorm(sizes.channels(level), sizes.channels(level + 1)) for level in levels)
        self.decoder = nn.ModuleList(
            DecoderBlock(sizes.channels(level + 1), sizes.channels(level), config) for level in reversed(levels)
        )
        self.last = nn.Conv2d(sizes.base_channels, 4 if config.guided else 3, 7, padding=3)

    def forward(self, stem: Tensor, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """The output `stem` (B, base, H, W) of `first`, z (B, Z) -> colour (B, 3, H, W) in [-1, 1], mask (B, 1, H, W).

        The mask, the share of the warped source in the image, is None unless the network is guided. Both are float32.
        """
        x = lrelu(self.first_norm(stem))
        maps = []
        for encoder in self.encoder:
            maps.append(x)
            x = F.avg_pool2d(encoder(x), 2)
        for decoder in self.decoder:
            x = decoder(x, maps.pop(), z)
        y = self.last(x).float()
        return torch.tanh(y[:, :3]), torch.sigmoid(y[:, 3:]) if y.shape[1] == 4 else None
