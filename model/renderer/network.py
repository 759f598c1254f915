"""The renderer: mapping, warping and editing network in one (Ren et al., "PIRenderer", ICCV 2021).

Letters: B batch, T frames, D motion dimension, Z descriptor size, H W image, h w flow map (a quarter of the image).
A prior (`model.renderer.guide`) has a pixel for each of the image's, so that it can change from one to the next where
a face ends.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.errors import ModelError
from model.renderer.config import RendererConfig
from model.renderer.editing import EditingNetwork
from model.renderer.guide import CHANNELS, Guide
from model.renderer.mapping import MappingNetwork
from model.renderer.warping import WarpingNetwork, sample, sampling_grid

INITIAL_SPREAD = 0.02
GUIDED_SPREAD = 1e-3
GUIDED_MASK = 0.9
DOUBT_LOGIT = 3.0
"""The mask's logit, before the editing network adds to it, where nothing is doubted; where all is, its negative."""


@dataclass(frozen=True)
class RendererOutput:
    """flow (B, 2, h, w), the warping network's, in pixels of the flow map; warped and image (B, 3, H, W) in [-1, 1].

    places (B, H, W, 2): where in the source each pixel of warped was read, see `sampling_grid`. A guided network adds
    its flow to the prior's, and also tells its colour (B, 3, H, W) and mask (B, 1, H, W); its image is
    mask * warped + (1 - mask) * colour. read (B, 1, H, W) is the share of the image that was read at `places`: the
    mask, less what the prior completed.
    """

    flow: Tensor
    places: Tensor
    warped: Tensor
    image: Tensor
    colour: Tensor
    mask: Tensor | None = None
    read: Tensor | None = None


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
        self, source: Tensor, motion: Tensor, prior: Tensor | None = None, *, edit: bool = True
    ) -> RendererOutput:
        """Render B frames from B sources.

        source (B, 3, H, W) in [-1, 1]; motion (B, D, 27) windows; prior (B, CHANNELS, H, W), see
        `model.renderer.guide`, for guided networks and only for them. With `edit` off the editing network is left out
        and image is warped.
        Raises ModelError when a shape does not fit.
        """
        self._check(source, prior)
        return self.render_descriptor(source, self.mapping(motion), prior, edit=edit)

    def render_descriptor(
        self, source: Tensor, z: Tensor, prior: Tensor | None = None, *, edit: bool = True
    ) -> RendererOutput:
        """`forward` after the mapping network: source (B, 3, H, W), z (B, Z)."""
        if prior is None:
            flow = self.warping(self.warping.first(source), z)
            places, warped = self._warp(source, flow)
            if not edit:
                return RendererOutput(flow=flow, places=places, warped=warped, image=warped, colour=warped)
            image, _ = self.editing(self.editing.first(torch.cat((source, warped), dim=1)), z)
            return RendererOutput(flow=flow, places=places, warped=warped, image=image, colour=image)
        guide = Guide(prior)
        read = guide.complete(self._warp(source, guide.flow)[1])
        flow = self.warping(self.warping.first(torch.cat((source, *self._seen(read, guide)), dim=1)), z)
        places, moved = self._warp(source, flow, guide.flow)
        warped = guide.complete(moved)
        if not edit:
            return RendererOutput(flow=flow, places=places, warped=warped, image=warped, colour=warped)
        stem = self.editing.first(torch.cat((source, *self._seen(warped, guide)), dim=1))
        return self._blend(z, guide, flow=flow, places=places, warped=warped, stem=stem)

    def prepare(self, source: Tensor) -> PortraitState:
        """The part of rendering that source (1, 3, H, W) alone decides."""
        return PortraitState(source, self.warping.first.source_part(source), self.editing.first.source_part(source))

    def render(self, portrait: PortraitState, z: Tensor, prior: Tensor | None = None) -> RendererOutput:
        """B frames of one portrait: z (B, Z), prior (B, CHANNELS, H, W). `render_descriptor` with less work."""
        self._check(portrait.source, prior)
        if prior is None:
            flow = self.warping(portrait.warping_stem, z)
            places, warped = self._warp(portrait.source, flow)
            image, _ = self.editing(portrait.editing_stem + self.editing.first.frame_part(warped), z)
            return RendererOutput(flow=flow, places=places, warped=warped, image=image, colour=image)
        guide = Guide(prior)
        read = guide.complete(self._warp(portrait.source, guide.flow)[1])
        shown = torch.cat(self._seen(read, guide), dim=1)
        flow = self.warping(portrait.warping_stem + self.warping.first.frame_part(shown), z)
        places, moved = self._warp(portrait.source, flow, guide.flow)
        warped = guide.complete(moved)
        shown = torch.cat(self._seen(warped, guide), dim=1)
        stem = portrait.editing_stem + self.editing.first.frame_part(shown)
        return self._blend(z, guide, flow=flow, places=places, warped=warped, stem=stem)

    def _seen(self, picture: Tensor, guide: Guide) -> tuple[Tensor, ...]:
        """What either network reads of a frame beside the source."""
        return (picture, guide.doubt.to(picture.dtype)) if self.config.doubt else (picture,)

    def _warp(self, source: Tensor, *flows: Tensor) -> tuple[Tensor, Tensor]:
        """Where the sum of flows (B, 2, h, w) reads source (B or 1, 3, H, W), and what it reads (B, 3, H, W)."""
        places = sampling_grid(*flows, size=(source.shape[2], source.shape[3]), grid=self.config.grid)
        return places, sample(source, places, grid=self.config.grid)

    def _blend(
        self, z: Tensor, guide: Guide, *, flow: Tensor, places: Tensor, warped: Tensor, stem: Tensor
    ) -> RendererOutput:
        """Colour and warped source by the mask, which starts from what geometry doubts where the network is told."""
        colour, logit = self.editing(stem, z)
        if self.config.doubt:
            logit = logit + DOUBT_LOGIT * (1 - 2 * guide.doubtful)
        mask = torch.sigmoid(logit)
        return RendererOutput(
            flow=flow,
            places=places,
            warped=warped,
            image=colour + mask * (warped - colour),
            colour=colour,
            mask=mask,
            read=mask * (1 - guide.completed),
        )

    def _check(self, source: Tensor, prior: Tensor | None) -> None:
        height, width = source.shape[2:]
        multiple = self.config.size_multiple
        if height % multiple or width % multiple:
            raise ModelError(f"the image is {width}x{height}; both sides must be multiples of {multiple}")
        if self.config.guided != (prior is not None):
            needs = "needs a prior" if self.config.guided else "takes no prior"
            raise ModelError(f"this renderer {needs}: it is {'' if self.config.guided else 'not '}guided")
        if prior is not None and prior.shape[1:] != (CHANNELS, height, width):
            raise ModelError(f"the prior is {tuple(prior.shape[1:])}; it must be ({CHANNELS}, {height}, {width})")


@torch.no_grad()
def initialize(network: PIRenderer, generator: torch.Generator | None = None) -> PIRenderer:
    """Weights as the paper starts them: normal(0, 0.02), biases 0, norms the identity.

    A guided network starts at its prior: almost no flow of its own, and an image that is 0.9 of the warped source or,
    where the network is told of doubts, as much as these leave.
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
        parameters, mask = dict(network.editing.last.named_parameters()), network.editing.mask_channels
        nn.init.normal_(parameters["weight"][mask], 0, GUIDED_SPREAD, generator=generator)
        start = 0.0 if network.config.doubt else math.log(GUIDED_MASK / (1 - GUIDED_MASK))
        nn.init.constant_(parameters["bias"][mask], start)
    return network
