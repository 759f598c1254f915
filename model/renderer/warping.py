"""The warping network: a coarse flow field that moves the source to the pose asked for."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.renderer.config import RendererConfig, WarpingConfig
from model.renderer.layers import AdaIN, LayerNorm2d, SourceConv2d, lrelu, normalize_instances

Grid = Literal["published", "aligned"]


def sampling_grid(flow: Tensor, size: tuple[int, int], *, grid: Grid) -> Tensor:
    """Where in the source each image pixel comes from, in grid_sample's coordinates.

    flow (B, 2, h, w) in pixels of the flow map, x right then y down; size (H, W) -> (B, H, W, 2) in float32.
    The published weights were trained with a grid whose corners are pixel centres, enlarged and read by calls whose
    corners are pixel edges; "published" keeps that, "aligned" counts from the edges throughout.
    """
    flow = flow.float()
    _, _, height, width = flow.shape
    places = pixel_centres(size, flow.device)
    if grid == "aligned":
        identity, step = places, flow.new_tensor([2 / width, 2 / height])
    else:
        last = flow.new_tensor([width - 1, height - 1])[:, None, None]
        coarse = (places + 1) / 2 * (last + 1) - 0.5
        identity, step = coarse.clamp_min(0).minimum(last) / last * 2 - 1, 2 / last[:, 0, 0]
    return (identity + step[:, None, None] * enlarge(flow, size)).permute(0, 2, 3, 1)


def pixel_centres(size: tuple[int, int], device: torch.device) -> Tensor:
    """Coordinates x, y of each pixel's centre, -1 and 1 being the picture's edges: (2, H, W)."""
    height, width = size
    x = (2 * torch.arange(width, device=device, dtype=torch.float32) + 1) / width - 1
    y = (2 * torch.arange(height, device=device, dtype=torch.float32) + 1) / height - 1
    return torch.stack((x.expand(size), y[:, None].expand(size)))


def enlarge(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear enlargement of a flow (B, 2, h, w) to (B, 2, H, W).

    In an exported graph it is written as the sampling that it is: engines that compute in bfloat16 resize in it too,
    which would blur the coordinates, but keep grid_sample in float32.
    """
    if not torch.compiler.is_exporting():
        return F.interpolate(flow, size=size, mode="bilinear", align_corners=False)
    where = pixel_centres(size, flow.device).permute(1, 2, 0).expand(flow.shape[0], -1, -1, -1)
    return F.grid_sample(flow, where, mode="bilinear", padding_mode="border", align_corners=False)


def warp(image: Tensor, flow: Tensor, *, grid: Grid) -> Tensor:
    """Move `image` by `flow`: image (B or 1, C, H, W), flow (B, 2, h, w) -> (B, C, H, W) in the image's dtype.

    Coordinates and interpolation are float32 whatever the dtypes: bfloat16 cannot tell neighbouring pixels apart.
    """
    image_size = (image.shape[2], image.shape[3])
    where = sampling_grid(flow, image_size, grid=grid)
    outside = "zeros" if grid == "published" else "border"
    image32 = image.float().expand(flow.shape[0], -1, -1, -1)
    return F.grid_sample(image32, where, mode="bilinear", padding_mode=outside, align_corners=False).to(image.dtype)


class EncoderBlock(nn.Module):
    """AdaIN lrelu conv4 stride 2, AdaIN lrelu conv3."""

    def __init__(self, in_channels: int, out_channels: int, config: RendererConfig) -> None:
        super().__init__()
        sizes = {"descriptor_size": config.descriptor_size, "hidden": config.adain_hidden}
        self.norm_0 = AdaIN(in_channels, **sizes)
        self.conv_0 = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1)
        self.norm_1 = AdaIN(out_channels, **sizes)
        self.conv_1 = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, normalized: Tensor, z: Tensor) -> Tensor:
        """Instance-normalised maps (B or 1, in, H, W), z (B, Z) -> (B, out, H/2, W/2)."""
        x = self.conv_0(lrelu(self.norm_0.modulate(normalized, z)))
        out: Tensor = self.conv_1(lrelu(self.norm_1(x, z)))
        return out


class DecoderBlock(nn.Module):
    """Residual block that doubles the size; its two branches read the same normalised maps."""

    def __init__(self, in_channels: int, out_channels: int, config: RendererConfig) -> None:
        super().__init__()
        sizes = {"descriptor_size": config.descriptor_size, "hidden": config.adain_hidden}
        self.norm_0 = AdaIN(in_channels, **sizes)
        self.conv_0 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm_1 = AdaIN(out_channels, **sizes)
        self.conv_1 = nn.ConvTranspose2d(out_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
        self.norm_s = AdaIN(in_channels, **sizes)
        self.conv_s = nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, in, H, W), z (B, Z) -> (B, out, 2H, 2W)."""
        normalized = normalize_instances(x)
        shortcut: Tensor = self.conv_s(lrelu(self.norm_s.modulate(normalized, z)))
        y = self.conv_0(lrelu(self.norm_0.modulate(normalized, z)))
        residual: Tensor = self.conv_1(lrelu(self.norm_1(y, z)))
        return residual + shortcut


class WarpingNetwork(nn.Module):
    """Source (and, when guided, the prior-warped source) and descriptor -> flow."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        sizes: WarpingConfig = config.warping
        self.first = SourceConv2d(3, 3 if config.guided else 0, sizes.base_channels, kernel_size=7)
        self.encoder = nn.ModuleList(
            EncoderBlock(sizes.channels(level), sizes.channels(level + 1), config)
            for level in range(sizes.encoder_layers)
        )
        self.decoder = nn.ModuleList()
        channels = sizes.channels(sizes.encoder_layers)
        for level in reversed(range(sizes.encoder_layers - sizes.decoder_layers, sizes.encoder_layers)):
            self.decoder.append(DecoderBlock(channels, sizes.channels(level), config))
            channels = 2 * sizes.channels(level)  # concatenated with the encoder map of that size
        self.norm = LayerNorm2d(channels)
        self.last = nn.Conv2d(channels, 2, 7, padding=3)

    def forward(self, stem: Tensor, z: Tensor) -> Tensor:
        """The output `stem` (B or 1, base, H, W) of `first`, z (B, Z) -> flow (B, 2, H/4, W/4) in float32."""
        x, maps = stem, []
        for encoder in self.encoder:
            x = encoder(normalize_instances(x), z)
            maps.append(x)
        maps.pop()
        for decoder in self.decoder:
            x = torch.cat((decoder(x, z), maps.pop()), dim=1)
        flow: Tensor = self.last(lrelu(self.norm(x)))
        return flow.float()
