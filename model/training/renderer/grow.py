"""A wider renderer that starts from what a narrower one has learned.

Every channel of the narrow network appears several times in the wide one, and what reads a channel shares its weight
among the copies, so that both compute the same (Chen et al., "Net2Net: accelerating learning via knowledge transfer",
ICLR 2016, section 2.2). Weights are shared unevenly, and differently for each reader: otherwise copies would learn the
same for ever. Layer norm alone can tell copies from one, where some channels have more of them than others; its affine
is corrected for what that does to mean and deviation.

Letters: C channels of the narrow network, W of the wide one; k kernel sides; B batch.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from model.data.batch import Batch
from model.errors import ModelError
from model.evaluation.renderer.preview import render_batch
from model.renderer.config import RendererConfig
from model.renderer.editing import DecoderBlock as EditingDecoderBlock
from model.renderer.editing import EditingNetwork, ResidualBlock
from model.renderer.layers import EPSILON, AdaIN, ConvNorm, LayerNorm2d, Module, typed
from model.renderer.network import PIRenderer
from model.renderer.warping import DecoderBlock as WarpingDecoderBlock
from model.renderer.warping import EncoderBlock, WarpingNetwork

Convolution = nn.Conv2d | nn.ConvTranspose2d

SMALLEST_SHARE, LARGEST_SHARE = 0.5, 1.5  # of a reader's weight, before all copies' are made to sum to 1


@torch.no_grad()
def grow(narrow: PIRenderer, config: RendererConfig, batch: Batch, generator: torch.Generator) -> PIRenderer:
    """A network of shape `config` that renders what `narrow` does, nearly.

    Args:
        narrow: the network to start from, on the CPU.
        config: the same but for `base_channels` and `max_channels`, of which none is smaller.
        batch: pictures on which layer norms are corrected.
        generator: for the shares.

    Raises ModelError: the shapes differ in more than channels, or a layer would be narrower.
    """
    check_wider(narrow.config, config)
    wide = PIRenderer(config)
    wide.mapping.load_state_dict(narrow.mapping.state_dict())
    growth = _Growth(_norm_inputs(narrow, batch), generator)
    growth.warping(narrow.warping, wide.warping)
    growth.editing(narrow.editing, wide.editing)
    return wide.eval()


def check_wider(narrow: RendererConfig, wide: RendererConfig) -> None:
    """See that a network of shape `narrow` can grow into one of shape `wide`.

    Raises ModelError: the shapes differ in more than channels, or a layer would be narrower.
    """
    channels = {"base_channels", "max_channels"}
    parts = {"warping": channels, "editing": channels}
    before, after = narrow.model_dump(exclude=parts), wide.model_dump(exclude=parts)
    for name, value in before.items():
        if after[name] != value:
            raise ModelError(f"{name} is {after[name]}; it must be {value}, as in the network that is to grow")
    for part in parts:
        sizes, larger = getattr(narrow, part), getattr(wide, part)
        for name in sorted(channels):
            if getattr(larger, name) < getattr(sizes, name):
                raise ModelError(
                    f"{part}.{name} is {getattr(larger, name)}; it must be at least {getattr(sizes, name)}, as in the "
                    "network that is to grow"
                )


def _norm_inputs(network: PIRenderer, batch: Batch) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """Means and mean squares (B, C) of what each layer norm of `network` reads."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[module] = inputs[0].mean((2, 3)), inputs[0].square().mean((2, 3))

    hooks = [m.register_forward_pre_hook(note) for m in network.modules() if isinstance(m, LayerNorm2d)]
    render_batch(network, batch)
    for hook in hooks:
        hook.remove()
    return seen


class _Growth:
    """Methods fill a wide module from a narrow one; channel maps (W,) tell of which narrow channel each is a copy."""

    def __init__(self, norm_inputs: dict[nn.Module, tuple[Tensor, Tensor]], generator: torch.Generator) -> None:
        self._norm_inputs, self._generator = norm_inputs, generator

    def warping(self, narrow: WarpingNetwork, wide: WarpingNetwork) -> None:
        x = _copies(narrow.first.out_channels, wide.first.out_channels)
        self.conv(narrow.first, wide.first, torch.arange(narrow.first.in_channels), x)
        maps = []
        for before, after in _pairs(narrow.encoder, wide.encoder, EncoderBlock):
            out = _copies(before.conv_0.out_channels, after.conv_0.out_channels)
            self.adain(before.norm_0, after.norm_0, x)
            self.conv(before.conv_0, after.conv_0, x, out)
            self.adain(before.norm_1, after.norm_1, out)
            self.conv(before.conv_1, after.conv_1, out, out)
            maps.append(x := out)
        maps.pop()
        for block, larger in zip(
            typed(narrow.decoder, WarpingDecoderBlock), typed(wide.decoder, WarpingDecoderBlock), strict=True
        ):
            out = _copies(block.conv_0.out_channels, larger.conv_0.out_channels)
            self.adain(block.norm_0, larger.norm_0, x)
            self.adain(block.norm_s, larger.norm_s, x)
            self.conv(block.conv_0, larger.conv_0, x, out)
            self.adain(block.norm_1, larger.norm_1, out)
            self.conv(block.conv_1, larger.conv_1, out, out)
            self.conv(block.conv_s, larger.conv_s, x, out)
            x = torch.cat([out, block.conv_0.out_channels + maps.pop()])
        self.norm(narrow.norm, wide.norm, x)
        self.conv(narrow.last, wide.last, x, torch.arange(narrow.last.out_channels))

    def editing(self, narrow: EditingNetwork, wide: EditingNetwork) -> None:
        x = _copies(narrow.first.out_channels, wide.first.out_channels)
        self.conv(narrow.first, wide.first, torch.arange(narrow.first.in_channels), x)
        self.norm(narrow.first_norm, wide.first_norm, x)
        maps = []
        for before, after in _pairs(narrow.encoder, wide.encoder, ConvNorm):
            maps.append(x)
            out = _copies(before.conv.out_channels, after.conv.out_channels)
            self.conv_norm(before, after, x, out)
            x = out
        for block, larger in zip(
            typed(narrow.decoder, EditingDecoderBlock), typed(wide.decoder, EditingDecoderBlock), strict=True
        ):
            for residual, wider in zip(
                typed(block.residual, ResidualBlock), typed(larger.residual, ResidualBlock), strict=True
            ):
                self.conv(residual.conv, wider.conv, x, x)
                self.adain(residual.norm, wider.norm, x)
            out = maps.pop()
            self.conv_norm(block.up, larger.up, x, out)
            self.conv_norm(block.skip, larger.skip, out, out)
            x = out
        self.conv(narrow.last, wide.last, x, torch.arange(narrow.last.out_channels))

    def conv(self, narrow: Convolution, wide: Convolution, read: Tensor, out: Tensor) -> None:
        """A convolution that reads the channels `read` and gives `out`."""
        transposed = isinstance(narrow, nn.ConvTranspose2d)
        weight = narrow.weight.transpose(0, 1) if transposed else narrow.weight
        shares = torch.empty(len(out), len(read)).uniform_(SMALLEST_SHARE, LARGEST_SHARE, generator=self._generator)
        sums = torch.zeros(len(out), weight.shape[1]).index_add_(1, read, shares)
        grown = weight[out][:, read] * (shares / sums[:, read])[:, :, None, None]
        wide.weight.copy_(grown.transpose(0, 1) if transposed else grown)
        if narrow.bias is not None and wide.bias is not None:
            wide.bias.copy_(narrow.bias[out])

    def conv_norm(self, narrow: ConvNorm, wide: ConvNorm, read: Tensor, out: Tensor) -> None:
        """A convolution and its layer norm."""
        self.conv(narrow.conv, wide.conv, read, out)
        self.norm(narrow.norm, wide.norm, out)

    def adain(self, narrow: AdaIN, wide: AdaIN, channels: Tensor) -> None:
        """An instance norm of `channels`; each copy has the same mean and deviation."""
        wide.hidden.load_state_dict(narrow.hidden.state_dict())
        rows = torch.cat([channels, narrow.affine.out_features // 2 + channels])  # gamma, then beta
        wide.affine.weight.copy_(narrow.affine.weight[rows])
        wide.affine.bias.copy_(narrow.affine.bias[rows])

    def norm(self, narrow: LayerNorm2d, wide: LayerNorm2d, channels: Tensor) -> None:
        """A layer norm of `channels`, with the affine that undoes in the mean what uneven copies do to it."""
        means, squares = self._norm_inputs[narrow]
        mean, deviation = _whole(means, squares)
        grown_mean, grown_deviation = _whole(means[:, channels], squares[:, channels])
        scale = (grown_deviation / deviation).mean()
        shift = ((grown_mean - mean) / deviation).mean()
        wide.weight.copy_((narrow.weight * scale)[channels])
        wide.bias.copy_((narrow.bias + narrow.weight * shift)[channels])


def _copies(channels: int, wide: int) -> Tensor:
    """Of which of `channels` each of `wide` is a copy, the copies spread as evenly as can be: (wide,)."""
    return torch.arange(wide) * channels // wide


def _whole(means: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (B,) of maps with `means` and mean `squares` (B, C)."""
    mean = means.mean(1)
    return mean, (squares.mean(1) - mean.square() + EPSILON).sqrt()


def _pairs(narrow: nn.ModuleList, wide: nn.ModuleList, kind: type[Module]) -> Iterator[tuple[Module, Module]]:
    """Each block with the one that grows from it."""
    return zip(typed(narrow, kind), typed(wide, kind), strict=True)
