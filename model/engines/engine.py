"""The interface of an engine: the renderer's network, run fast, frame batch by frame batch.

Letters: B frames of a batch, T frames of a sequence, D motion dimension, Z descriptor size, H W image, h w flow map.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from model.arrays import Floats, Frames
from model.pictures import to_frames
from model.renderer.network import PIRenderer, PortraitState


@dataclass(frozen=True, eq=False)
class Rendering:
    """What a network made of a batch, on the engine's device.

    image (B, 3, H, W) in [-1, 1], float32. Of a guided network also mask (B, 1, H, W), 0..1: how much of the image is
    the source, moved; and places (B, H, W, 2): where each pixel of that was read, see
    `model.renderer.warping.sampling_grid`.
    """

    image: Tensor
    mask: Tensor | None = None
    places: Tensor | None = None


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """One rendered picture (H, W, 3) uint8; of a guided network its mask (H, W) and places (H, W, 2): `Rendering`."""

    image: Frames
    mask: Floats | None = None
    places: Floats | None = None


@dataclass(frozen=True, eq=False)
class RenderedFrames:
    """A batch in main memory: images (B, H, W, 3) uint8, masks (B, H, W) and places (B, H, W, 2) as in `Rendering`."""

    images: Frames
    masks: Floats | None = None
    places: Floats | None = None

    def __len__(self) -> int:
        """Frames."""
        return len(self.images)

    def __iter__(self) -> Iterator[RenderedFrame]:
        """Frame by frame."""
        for index, image in enumerate(self.images):
            if self.masks is None or self.places is None:
                yield RenderedFrame(image)
            else:
                yield RenderedFrame(image, self.masks[index], self.places[index])


class Engine(ABC):
    """One network on one device. Engines differ in speed and rounding, and in nothing else."""

    def __init__(self, network: PIRenderer, *, name: str) -> None:
        self.network = network
        self.name = name

    @property
    def low_latency(self) -> "Engine":
        """The same network for one picture at a time, each as soon as it can be; it takes what `prepare` gives here."""
        return self

    @torch.inference_mode()
    def describe(self, motions: Tensor) -> Tensor:
        """Descriptors (T, Z) of a whole sequence of motions (T, D)."""
        return self.network.mapping.describe_sequence(motions.to(self.device))

    @torch.inference_mode()
    def prepare(self, source: Tensor) -> PortraitState:
        """Once per portrait: source (1, 3, H, W) in [-1, 1]."""
        return self.network.prepare(source.to(self.device))

    @abstractmethod
    def render(self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None = None) -> Rendering:
        """B frames: descriptors (B, Z), if guided prior (B, CHANNELS, H, W), see `model.renderer.guide`."""

    @torch.inference_mode()
    def render_frames(
        self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None = None
    ) -> RenderedFrames:
        """`render` in main memory, its images as RGB bytes."""
        drawn = self.render(portrait, descriptors, prior)
        masks = None if drawn.mask is None else drawn.mask[:, 0].float().cpu().numpy()
        places = None if drawn.places is None else drawn.places.float().cpu().numpy()
        return RenderedFrames(to_frames(drawn.image), masks, places)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device
