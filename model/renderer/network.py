"""The renderer: mapping, warping and editing network in one (Ren et al., "PIRenderer", ICCV 2021).

Letters: B batch, T frames, D motion dimension, Z descriptor size, H W image, h w flow map (a quarter of the image).
A prior flow has a pixel for each of the image's, so that it can change from one to the next where a face ends.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.errors import ModelError
from model.renderer.config import RendererConfig
from model.renderer.editing import EditingNetwork
from model.renderer.mapping import MappingNetwork
from model.renderer.warping import WarpingNetwork, sample, sampling_grid

INITIAL_SPREAD = 0.02
GUIDED_SPREAD = 1e-3
GUIDED_MASK = 0.9


@dataclass(frozen=True)
class RendererOutput:
    """flow (B, 2, h, w), the warping network's, in pixels of the flow map; warped and image (B, 3, H, W) in [-1, 1].

    places (B, H, W, 2): where in the source each pixel of warped was read, see `sampling_grid`. A guided network adds
    its flow to the prior, and also tells its colour (B, 3, H, W) and mask (B, 1, H, W); its image is
    mask * warped + (1 - mask) * colour.
    """

    flow: Tensor
    places: Tensor
    warped: Tensor
    image: Tensor
    colour: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class PortraitState:
    """What depends on the source alone, computed once for all frames of a job.

    source (1, 3, H, W); warping_stem and editing_stem: the source's share of either network's first convolution.
    """

    source: Tensor
    warping_stem: Tensor
    editing_stem: Tensor


class PIRenderer(nn.Module):
    """Renders a source portrait in the pose and expression of a motion."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config)
        self.warping = WarpingNetwork(config)
        self.editing = EditingNetwork(config)

    def forward(
        self, source: Tensor, motion: Tensor, prior_flow: Tensor | None = None, *, edit: bool = True
    ) -> RendererOutput:
        """Render B frames from B sources.

        source (B, 3, H, W) in [-1, 1]; motion (B, D, 27) windows; prior_flow (B, 2, H, W) in pixels, for guided
        networks and only for them. With `edit` off the editing network is left out and image is warped.
        Raises ModelError when a shape does not fit.
        """
        self._check(source, prior_flow)
        return self.render_descriptor(source, self.mapping(motion), prior_flow, edit=edit)

    def render_descriptor(
        self, source: Tensor, z: Tensor, prior_flow: Tensor | None = None, *, edit: bool = True
    ) -> RendererOutput:
        """`forward` after the mapping network: source (B, 3, H, W), z (B, Z)."""
        if prior_flow is None:
            flow = self.warping(self.warping.first(source), z)
            places, warped = self._warp(source, flow)
        else:
            _, guide = self._warp(source, prior_flow)
            flow = self.warping(self.warping.first(torch.cat((source, guide), dim=1)), z)
            places, warped = self._warp(source, flow, prior_flow)
        if not edit:
            return RendererOutput(flow=flow, places=places, warped=warped, image=warped, colour=warped, mask=None)
        return self._edit(flow, places, warped, self.editing.first(torch.cat((source, warped), dim=1)), z)

    def prepare(self, source: Tensor) -> PortraitState:
        """The part of rendering that source (1, 3, H, W) alone decides."""
        return PortraitState(source, self.warping.first.source_part(source), self.editing.first.source_part(source))

    def render(self, portrait: PortraitState, z: Tensor, prior_flow: Tensor | None = None) -> RendererOutput:
        """B frames of one portrait: z (B, Z), prior_flow (B, 2, H, W). `render_descriptor` with less work."""
        self._check(portrait.source, prior_flow)
        if prior_flow is None:
            flow = self.warping(portrait.warping_stem, z)
            places, warped = self._warp(portrait.source, flow)
        else:
            _, guide = self._warp(portrait.source, prior_flow)
            flow = self.warping(portrait.warping_stem + self.warping.first.frame_part(guide), z)
            places, warped = self._warp(portrait.source, flow, prior_flow)
        return self._edit(flow, places, warped, portrait.editing_stem + self.editing.first.frame_part(warped), z)

    def _warp(self, source: Tensor, *flows: Tensor) -> tuple[Tensor, Tensor]:
        """Where the sum of flows (B, 2, h, w) reads source (B or 1, 3, H, W), and what it reads (B, 3, H, W)."""
        places = sampling_grid(*flows, size=(source.shape[2], source.shape[3]), grid=self.config.grid)
        return places, sample(source, places, grid=self.config.grid)

    def _edit(self, flow: Tensor, places: Tensor, warped: Tensor, stem: Tensor, z: Tensor) -> RendererOutput:
        colour, mask = self.editing(stem, z)
        image = colour if mask is None else colour + mask * (warped - colour)
        return RendererOutput(flow=flow, places=places, warped=warped, image=image, colour=colour, mask=mask)

    def _check(self, source: Tensor, prior_flow: Tensor | None) -> None:
        height, width = source.shape[2:]
        multiple = self.config.size_multiple
        if height % multiple or width % multiple:
            raise ModelError(f"the image is {width}x{height}; both sides must be multiples of {multiple}")
        if self.config.guided != (prior_flow is not None):
            needs = "needs a prior flow" if self.config.guided else "takes no prior flow"
            raise ModelError(f"this renderer {needs}: it is {'' if self.config.guided else 'not '}guided")
        if prior_flow is not None and prior_flow.shape[1:] != (2, height, width):
            raise ModelError(f"the prior flow is {tuple(prior_flow.shape[1:])}; it must be (2, {height}, {width})")


@torch.no_grad()
def initialize(network: PIRenderer, generator: torch.Generator | None = None) -> PIRenderer:
    """Weights as the paper starts them: normal(0, 0.02), biases 0, norms the identity.

    A guided network starts at its prior: almost no flow of its own, and an image that is 0.9 of the warped source.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0, INITIAL_SPREAD, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.GroupNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    if network.config.guided:
        nn.init.normal_(network.warping.last.weight, 0, GUIDED_SPREAD, generator=generator)
        parameters = dict(network.editing.last.named_parameters())
        nn.init.normal_(parameters["weight"][3:], 0, GUIDED_SPREAD, generator=generator)
        nn.init.constant_(parameters["bias"][3:], math.log(GUIDED_MASK / (1 - GUIDED_MASK)))
    return network
