"""Deep3DFaceRecon's network: an aligned face of 224 x 224 -> 257 coefficients of the Basel Face Model.

ResNet-50 (He et al., "Deep residual learning for image recognition", 2016, table 1), whose blocks halve the picture in
their 3x3 convolution, and a linear layer for each group of coefficients. Modules have the names that such checkpoints
have their keys by, so that a state dict fits as it is.
"""

import torch
from torch import Tensor, nn

WINDOW_SIZE = 224  # pixels
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # inner channels and blocks
EXPANSION = 4  # a block's output has so many times its inner channels

GROUPS = (80, 64, 80, 3, 27, 2, 1)
"""Identity, expression, texture, angles, lighting, translation in x and y, translation in z: 257 in all."""


class Bottleneck(nn.Module):
    """Three convolutions, of which the outer two are 1x1, and a short cut."""

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        outer = EXPANSION * inner
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        self.downsample = None
        if stride > 1 or channels != outer:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, outer, 1, stride=stride, bias=False), nn.BatchNorm2d(outer)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 4 * inner, H / stride, W / stride)."""
        hidden = self.bn1(self.conv1(x)).relu_()
        hidden = self.bn2(self.conv2(hidden)).relu_()
        short_cut = x if self.downsample is None else self.downsample(x)
        return self.bn3(self.conv3(hidden)).add_(short_cut).relu_()


class ResNet50(nn.Module):
    """The trunk, without a classifier."""

    def __init__(self) -> None:
        super().__init__()
        channels = STAGES[0][0]
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for number, (inner, blocks) in enumerate(STAGES, 1):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(Bottleneck(channels, inner, stride=2 if block == 0 and number > 1 else 1))
                channels = EXPANSION * inner
            self.add_module(f"layer{number}", stage)
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> mean features (B, 2048, 1, 1)."""
        x = self.maxpool(self.bn1(self.conv1(images)).relu_())
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3), keepdim=True)


class Deep3DNetwork(nn.Module):
    """Trunk and linear layers; the latter are 1x1 convolutions, as the checkpoints have them."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet50()
        self.final_layers = nn.ModuleList(nn.Conv2d(self.backbone.channels, size, 1) for size in GROUPS)

    def forward(self, windows: Tensor) -> Tensor:
        """Aligned faces (B, 224, 224, 3) uint8, RGB -> coefficients (B, 257). Colours go in as 0..1, not normalised."""
        images = windows.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        features = self.backbone(images.float().div_(255.0))
        return torch.cat([layer(features) for layer in self.final_layers], dim=1).flatten(1)
