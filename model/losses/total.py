"""The renderer's training objective: named terms, each with a weight; a weight of 0 switches its term off."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor, nn

from model.losses.perceptual import VGG19, Features, feature_loss, image_pyramid, style_loss
from model.losses.reconstruction import multi_scale_l1, region_weighted_l1
from model.renderer.network import RendererOutput


class LossConfig(BaseModel):
    """Weights of the terms. The defaults are the paper's: 2.5 L_w + 4 L_c + 1000 L_s over VGG-19 at 4 scales.

    perceptual_warped, perceptual_image: L1 of VGG features of the warped source, and of the image.
    style: L1 of Gram matrices of the image at full size.
    l1_warped, l1_image: L1 of pixels over the same scales.
    region_image: L1 of the image's pixels weighted by the map given to the loss (eyes and mouth, say).
    adversarial_mouth, features_mouth: the hinge loss of a patch discriminator that sees the mouth's surroundings, and
        L1 of its features; the trainer adds both.
    deepest_layer, scales: how much of VGG is run; a CPU affords "relu3_1" and 2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    perceptual_warped: NonNegativeFloat = 2.5
    perceptual_image: NonNegativeFloat = 4.0
    style: NonNegativeFloat = 1000.0
    l1_warped: NonNegativeFloat = 0.0
    l1_image: NonNegativeFloat = 0.0
    region_image: NonNegativeFloat = 0.0
    adversarial_mouth: NonNegativeFloat = 0.0
    features_mouth: NonNegativeFloat = 0.0
    deepest_layer: Literal["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"] = "relu5_1"
    scales: int = Field(default=4, ge=1, le=6)
    vgg_weights: Path | None = None

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator is needed."""
        return max(self.adversarial_mouth, self.features_mouth) > 0

    @property
    def needing_landmarks(self) -> list[str]:
        """Names of the terms in use that have to know where eyes and mouth are."""
        return [name for name in ("region_image", "adversarial_mouth", "features_mouth") if getattr(self, name)]

    @property
    def needs_vgg(self) -> bool:
        """Whether any term reads VGG features."""
        return max(self.perceptual_warped, self.perceptual_image, self.style) > 0


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
        self.vgg = VGG19(deepest=config.deepest_layer, weights=config.vgg_weights) if config.needs_vgg else None

    def forward(
        self, output: RendererOutput, target: Tensor, *, region: Tensor | None = None, edited: bool = True
    ) -> Loss:
        """Loss of `output` against target (B, 3, H, W) in [-1, 1].

        region (B, 1, H, W): weights of `region_image`, which is left out without it. `edited` is off while the warping
        network trains alone: then only the terms of the warped source count.
        """
        config = self.config
        terms: dict[str, Tensor] = {}
        wanted = self._features(target) if self.vgg else []
        if config.perceptual_warped:
            terms["perceptual_warped"] = _over_scales(self._features(output.warped), wanted)
        if config.l1_warped:
            terms["l1_warped"] = multi_scale_l1(output.warped, target, scales=config.scales)
        if edited:
            if config.perceptual_image or config.style:
                got = self._features(output.image)
                terms["perceptual_image"] = _over_scales(got, wanted)
                terms["style"] = style_loss(got[0], wanted[0])
            if config.l1_image:
                terms["l1_image"] = multi_scale_l1(output.image, target, scales=config.scales)
            if config.region_image and region is not None:
                terms["region_image"] = region_weighted_l1(output.image, target, region)
        weighted = [getattr(config, name) * term for name, term in terms.items()]
        total = torch.stack(weighted).sum() if weighted else output.warped.new_zeros(())
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _features(self, image: Tensor) -> list[Features]:
        """VGG features at every scale, the full one first."""
        if self.vgg is None:
            raise RuntimeError("no term of this loss reads VGG features")
        return [self.vgg(scaled) for scaled in image_pyramid(image, self.config.scales)]


def _over_scales(got: list[Features], wanted: list[Features]) -> Tensor:
    return torch.stack([feature_loss(a, b) for a, b in zip(got, wanted, strict=True)]).sum()
