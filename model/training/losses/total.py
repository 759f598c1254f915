"""The renderer's training objective: named terms, each with a weight; a weight of 0 switches its term off."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, model_validator
from torch import Tensor, nn

from model.metrics.efficientnet import EfficientNetLite0
from model.metrics.features import VGG19, Features, image_pyramid, perceptual_distance
from model.renderer.network import RendererOutput
from model.training.losses.perceptual import feature_loss, style_loss
from model.training.losses.reconstruction import multi_scale_l1, region_weighted_l1

CERTAIN, DOUBTFUL = 0.3, 2.0
"""What a pixel of no doubt weighs where doubt counts, and what full doubt adds to it."""


class LossConfig(BaseModel):
    """Weights of the terms. The defaults are the paper's: 2.5 L_w + 4 L_c + 1000 L_s over VGG-19 at 4 scales.

    features: whose features the perceptual terms read. `vgg_weights` always means VGG: where a user has trained weights
        they go first. Of EfficientNet-Lite0 the terms are `perceptual_distance` at full size, those of image and
        painting weighted by doubt as l1_colour is, and style must be 0.
    perceptual_warped, perceptual_image, perceptual_colour: L1 of features of the warped source, of the image, and of
        what the editing network paints by itself (in a network that is not guided, the image).
    style: L1 of Gram matrices of the image at full size.
    l1_warped, l1_image: L1 of pixels over the same scales.
    l1_colour: L1 of the painting's pixels, weighted where the map given to the loss doubts the warped source.
    region_image: L1 of the image's pixels weighted by the map given to the loss (eyes and mouth, say).
    adversarial: the hinge loss of a patch discriminator that looks where the map given to the loss doubts the warped
        source, everywhere without one; the trainer adds it.
    deepest_layer, scales: how much of VGG is run; a CPU affords "relu3_1" and 2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    perceptual_warped: NonNegativeFloat = 2.5
    perceptual_image: NonNegativeFloat = 4.0
    perceptual_colour: NonNegativeFloat = 0.0
    style: NonNegativeFloat = 1000.0
    l1_warped: NonNegativeFloat = 0.0
    l1_image: NonNegativeFloat = 0.0
    l1_colour: NonNegativeFloat = 0.0
    region_image: NonNegativeFloat = 0.0
    adversarial: NonNegativeFloat = 0.0
    features: Literal["vgg19", "efficientnet-lite0"] = "vgg19"
    deepest_layer: Literal["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"] = "relu5_1"
    scales: int = Field(default=4, ge=1, le=6)
    vgg_weights: Path | None = None

    @property
    def needs_features(self) -> bool:
        """Whether any term reads features."""
        return max(self.perceptual_warped, self.perceptual_image, self.perceptual_colour, self.style) > 0

    @property
    def reads_vgg(self) -> bool:
        """Whether the features are VGG's."""
        return self.features == "vgg19" or self.vgg_weights is not None

    @model_validator(mode="after")
    def _style_is_of_vgg(self) -> Self:
        if self.style and not self.reads_vgg:
            raise ValueError(f"style is {self.style}; allowed is 0 where features is {self.features!r}")
        return self


@dataclass(frozen=True)
class Loss:
    """The weighted sum to differentiate, and its terms before weighting, detached, by the names of LossConfig."""

    total: Tensor
    terms: dict[str, Tensor]


class RendererLoss(nn.Module):
    """Compares a renderer's output with the target frame."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config
        reads, vgg = config.needs_features, config.reads_vgg
        self.vgg = VGG19(deepest=config.deepest_layer, weights=config.vgg_weights) if reads and vgg else None
        self.efficientnet = EfficientNetLite0() if reads and not vgg else None

    def forward(
        self,
        output: RendererOutput,
        target: Tensor,
        *,
        region: Tensor | None = None,
        doubt: Tensor | None = None,
        edited: bool = True,
    ) -> Loss:
        """Loss of `output` against target (B, 3, H, W) in [-1, 1].

        region (B, 1, H, W): weights of `region_image`, which is left out without it. doubt (B, 1, H, W) in 0..1: how
        little of the target the warped source can show; nowhere, without it. `edited` is off while the
        warping network trains alone: then only the terms of the warped source count.
        """
        pair = Comparison(self, output, target, region, doubt)
        rows = OF_WARPED | OF_EDITED if edited else OF_WARPED
        chosen = {name: row for name, row in rows.items() if getattr(self.config, name)}
        if region is None:
            chosen.pop("region_image", None)
        terms = {name: row(pair) for name, row in chosen.items()}
        weighted = [getattr(self.config, name) * term for name, term in terms.items()]
        total = torch.stack(weighted).sum() if weighted else output.warped.new_zeros(())
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def features(self, image: Tensor) -> list[Features]:
        """Features at every scale that is compared, the full one first."""
        if self.efficientnet is not None:
            return [self.efficientnet(image)]
        if self.vgg is None:
            raise RuntimeError("no term of this loss reads features")
        return [self.vgg(scaled) for scaled in image_pyramid(image, self.config.scales)]

    def distance(self, got: list[Features], wanted: list[Features], weight: Tensor | None = None) -> Tensor:
        """The perceptual term of what `features` gave; only EfficientNet's is weighted (B, 1, H, W)."""
        if self.efficientnet is not None:
            return perceptual_distance(got[0], wanted[0], weight).mean()
        return torch.stack([feature_loss(a, b) for a, b in zip(got, wanted, strict=True)]).sum()


class Comparison:
    """An output beside its target, as terms read them; what several of them read is computed once, if any does."""

    def __init__(
        self, loss: RendererLoss, output: RendererOutput, target: Tensor, region: Tensor | None, doubt: Tensor | None
    ) -> None:
        self.output, self.target = output, target
        none = torch.zeros_like(target[:, :1])
        self.region = none if region is None else region
        self.weight = CERTAIN + DOUBTFUL * (none if doubt is None else doubt)
        self._loss = loss

    @cached_property
    def wanted(self) -> list[Features]:
        """The target's features."""
        with torch.no_grad():
            return self._loss.features(self.target)

    @cached_property
    def image_features(self) -> list[Features]:
        """The image's features."""
        return self._loss.features(self.output.image)

    def perceptual(self, picture: Tensor, weight: Tensor | None = None) -> Tensor:
        """How far a picture's features are from the target's."""
        return self._loss.distance(self._loss.features(picture), self.wanted, weight)

    def perceptual_image(self) -> Tensor:
        """The same of the image, weighted."""
        return self._loss.distance(self.image_features, self.wanted, self.weight)

    def l1(self, picture: Tensor) -> Tensor:
        """How far a picture's pixels are from the target's, over the scales."""
        return multi_scale_l1(picture, self.target, scales=self._loss.config.scales)


Term = Callable[[Comparison], Tensor]
"""One term (), before weighting."""

OF_WARPED: dict[str, Term] = {
    "perceptual_warped": lambda pair: pair.perceptual(pair.output.warped),
    "l1_warped": lambda pair: pair.l1(pair.output.warped),
}
OF_EDITED: dict[str, Term] = {
    "perceptual_image": Comparison.perceptual_image,
    "style": lambda pair: style_loss(pair.image_features[0], pair.wanted[0]),
    "perceptual_colour": lambda pair: pair.perceptual(pair.output.colour, pair.weight),
    "l1_image": lambda pair: pair.l1(pair.output.image),
    "l1_colour": lambda pair: region_weighted_l1(pair.output.colour, pair.target, pair.weight),
    "region_image": lambda pair: region_weighted_l1(pair.output.image, pair.target, pair.region),
}
