"""Ranges for eight-bit convolutions: observed once on real frames, and kept in the card of the weights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from torch import Tensor, nn

from model.errors import WeightsError
from model.renderer.layers import SourceConv2d
from model.renderer.network import PIRenderer

USUAL = 0.9  # share of the examples

GOOD_PSNR_DB = 40.0
"""An engine that is farther than this from the reference is not chosen unless it is asked for by name."""


class EightBitCalibration(BaseModel):
    """What eight-bit convolutions need to know of a network, and how well they did.

    ranges: least and largest number that each convolution reads, by module name. psnr_db: the worst of `frames` frames
    of people who were not among those that gave the ranges, against the float32 reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ranges: dict[str, tuple[float, float]]
    frames: PositiveInt
    psnr_db: float

    @property
    def good(self) -> bool:
        """Whether the picture holds."""
        return self.psnr_db >= GOOD_PSNR_DB


def read_eight_bit_calibration(card: Mapping[str, Any]) -> EightBitCalibration | None:
    """What a weights card says in its field "int8"; None when it has none.

    Raises WeightsError: the field is not a calibration.
    """
    if "int8" not in card:
        return None
    try:
        return EightBitCalibration.model_validate(card["int8"])
    except ValidationError as error:
        raise WeightsError(f"the card of {card.get('name')!r} holds a damaged calibration: {error}") from error


@dataclass(frozen=True)
class Example:
    """One frame: source (1, 3, H, W), motion (1, D, 27) and, read by guided networks, prior (1, CHANNELS, H, W)."""

    source: Tensor
    motion: Tensor
    prior: Tensor | None = None


def rounded_layers(network: PIRenderer) -> dict[str, nn.Conv2d]:
    """The convolutions that gain by eight bits, by name.

    Left out are those that read pictures or make them, where a few channels leave nothing to gain and the loss
    would show, and those that enlarge: they run as transposed convolutions, which eight bits do not speed up. The first
    of the warping network's encoder reads what a norm made of the picture's edges, whose spikes it needs: rounded by
    itself, it moved details of photos by so much that their PSNR fell from 46 to 32 dB.
    """
    kept: set[nn.Module] = {network.warping.last, network.editing.last}
    kept.add(network.warping.encoder[0].get_submodule("conv_0"))
    for decoder in network.editing.decoder:
        kept.add(decoder.get_submodule("up.conv"))
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and not isinstance(module, SourceConv2d) and module not in kept
    }


@torch.inference_mode()
def observe_ranges(network: PIRenderer, examples: Iterable[Example]) -> dict[str, tuple[float, float]]:
    """The range of what each of `rounded_layers` reads in `USUAL` of the examples.

    Of an example the extremes count rather than percentiles: what eyes and lips need is rare in a frame. But norms
    leave spikes in some few frames, and a range that reaches them makes the steps between all other numbers larger.
    """
    extremes: dict[str, list[tuple[float, float]]] = {}

    def watch(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor]) -> None:
            low, high = (float(value) for value in inputs[0].aminmax())
            extremes.setdefault(name, []).append((low, high))

        return hook

    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in rounded_layers(network).items()]
    try:
        for example in examples:
            prior = example.prior if network.config.guided else None
            network.render(network.prepare(example.source), network.mapping(example.motion), prior)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: _usual(spans) for name, spans in extremes.items()}


def _usual(spans: list[tuple[float, float]]) -> tuple[float, float]:
    """What most spans lie within, at either end."""
    lows, highs = torch.tensor(spans, dtype=torch.float64).unbind(1)
    return float(lows.quantile(1 - USUAL)), float(highs.quantile(USUAL))
