"""The warping network: a coarse flow field that moves the source to the pose asked for."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.renderer.config import RendererConfig, WarpingConfig
from model.renderer.layers import AdaIN, LayerNorm2d, SourceConv2d, lrelu, normalize_instances

Grid = Literal["published", "aligned"]

OUTSIDE: dict[Grid, str] = {"published": "zeros", "aligned": "border"}
"""What grid_sample reads outside the source."""


def sampling_grid(*flows: Tensor, size: tuple[int, int], grid: Grid) -> Tensor:
    """Where in the source each image pixel comes from, in grid_sample's coordinates: (B, H, W, 2) in float32.

    Flows (B, 2, h, w) add up; each has a size of its own and counts in pixels of its own map, x right then y down.
    size is (H, W).
    """
    device = flows[0].device
    where, _ = grid_frame((flows[0].shape[2], flows[0].shape[3]), size, grid=grid, device=device)
    for flow in flows:
        _, step = grid_frame((flow.shape[2], flow.shape[3]), size, grid=grid, device=device)
        fine = F.interpolate(flow.float(), size=size, mode="bilinear", align_corners=False)
        where = where + step * fine
    return where.permute(0, 2, 3, 1)


def grid_frame(
    flow_size: tuple[int, int], size: tuple[int, int], *, grid: Grid, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Coordinates of an unmoved picture (2, H, W), and of a step of one flow-map pixel (2, 1, 1); x, then y.

    The published weights were trained with a grid whose corners are pixel centres, enlarged and read by calls whose
    corners are pixel edges; "published" keeps that, "aligned" counts from the edges throughout. Both are made on the
    device: a copy to it could not be captured in a CUDA graph.
    """
    places = pixel_centres(size, device)
    cells = torch.stack([torch.full((1, 1), float(side), device=device) for side in reversed(flow_size)])
    if grid == "aligned":
        return places, 2 / cells
    coarse = (places + 1) / 2 * cells - 0.5
    return coarse.clamp_min(0).minimum(cells - 1) / (cells - 1) * 2 - 1, 2 / (cells - 1)


def pixel_centres(size: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Coordinates x, y of each pixel's centre, -1 and 1 being the picture's edges: (2, H, W)."""
    height, width = size
    x = (2 * torch.arange(width, dtype=torch.float32, device=device) + 1) / width - 1
    y = (2 * torch.arange(height, dtype=torch.float32, device=device) + 1) / height - 1
    return torch.stack((x.expand(size), y[:, None].expand(size)))


def warp(image: Tensor, *flows: Tensor, grid: Grid) -> Tensor:
    """Move `image` by the sum of `flows`: image (B or 1, C, H, W), flow (B, 2, h, w) -> (B, C, H, W) in its dtype."""
    return sample(image, sampling_grid(*flows, size=(image.shape[2], image.shape[3]), grid=grid), grid=grid)


def sample(image: Tensor, places: Tensor, *, grid: Grid) -> Tensor:
    """Read `image` (B or 1, C, H, W) at `places` (B, H, W, 2), see `sampling_grid`: (B, C, H, W) in its dtype.

    Coordinates and interpolation are float32 whatever the dtypes: bfloat16 cannot tell neighbouring pixels apart.
    """
    image32 = image.float().expand(places.shape[0], -1, -1, -1)
    return F.grid_sample(image32, places, mode="bilinear", padding_mode=OUTSIDE[grid], align_corners=False).to(
        image.dtype
    )


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
    """Source (and, when guided, the prior-warped source, and where that is doubtful) and descriptor -> flow."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        sizes: WarpingConfig = config.warping
        frame_channels = 3 + config.doubt_maps if config.guided else 0
        self.first = SourceConv2d(3, frame_channels, sizes.base_channels, kernel_size=7, stride=config.patch)
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
