"""The prior: where the morphable model itself says that each pixel came from, and how sure that is.

On the face that is what a triangle mesh over the landmarks says (`model.renderer.prior.face_flow`); around it each
pixel follows the head as the portrait's skin says (`model.renderer.prior.skinning`). What a half profile hides is
completed (`model.renderer.prior.completion`), and where all this is guesswork, it says so
(`model.renderer.prior.doubt`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.arrays import Floats, Frames, Landmarks, Pixels
from model.face.crop import CROP_UNITS
from model.morphable import MorphableModel
from model.pictures import to_frames, to_image
from model.renderer.guide import CHANNELS, Guide
from model.renderer.prior.completion import Completer, Completion, poses
from model.renderer.prior.doubt import doubts
from model.renderer.prior.face_flow import FaceFlow
from model.renderer.prior.gap import between_lips, gap, newness
from model.renderer.prior.skinning import Skin, SkinningNetwork
from model.renderer.warping import warp


class SourceFace(Protocol):
    """A portrait's face as it is animated: see `model.extractor.Extraction`."""

    @property
    def image(self) -> Pixels:
        """The face crop, RGB uint8 (S, S, 3)."""

    @property
    def landmarks(self) -> Landmarks:
        """(478, 3) in crop units."""

    @property
    def motion(self) -> Floats:
        """The portrait's own motion (70,)."""

    @property
    def identity(self) -> Floats:
        """(80,)."""


@dataclass(frozen=True)
class Heads:
    """What is made once of B portraits: how they follow their heads, and what they lack of them, if anything.

    One may stand for several frames.
    """

    skin: Skin
    completions: tuple[Completion | None, ...]


class Prior:
    """Makes guides from what is made once of portraits, and the landmarks and motions that they shall have."""

    def __init__(self, morphable: MorphableModel, skinning: SkinningNetwork) -> None:
        self._face = FaceFlow(morphable)
        self._skinning = skinning
        self._completer = Completer(morphable)

    @classmethod
    def load(cls, morphable: MorphableModel, directory: Path | None = None) -> Self:
        """A prior with the released skinning network, or the one in `directory`.

        Raises WeightsError: weights or card are missing, damaged or do not fit.
        """
        return cls(morphable, SkinningNetwork.load(directory))

    @torch.no_grad()
    def heads(self, source: Tensor, landmarks: Tensor, motion: Tensor) -> Heads:
        """Of portraits (B, 3, H, W) in [-1, 1].

        landmarks (B, 478, 3) in crop units and motion (B, 70) are the portraits' own. It is computed on the
        CPU, as guides are.
        """
        source, landmarks, motion = (tensor.float().cpu() for tensor in (source, landmarks, motion))
        skin = self._skinning.skin(source, landmarks, motion)
        pictures = source.permute(0, 2, 3, 1).contiguous().numpy()
        return Heads(skin, tuple(self._completer.complete(*parts) for parts in zip(pictures, skin.each(), strict=True)))

    def head_of(self, portrait: SourceFace) -> Heads:
        """Of one portrait."""
        landmarks, motion = (torch.from_numpy(np.asarray(a, np.float32)) for a in (portrait.landmarks, portrait.motion))
        return self.heads(to_image(portrait.image), landmarks[None], motion[None])

    @torch.no_grad()
    def guide(self, heads: Heads, target: Tensor, motions: Tensor, *, size: int) -> Guide:
        """What takes the sources to the target, and where that is doubtful.

        Args:
            heads: the sources' (B), or the one source's (1).
            target: landmarks (B, 478, 3) that the result shall have, in crop units.
            motions: motions (B, 70) that it shall have.
            size: side of the images in pixels.
        """
        wanted, motions = target.float().cpu(), motions.float().cpu()
        around, missed = heads.skin.origins(wanted, motions)
        rasters = self._face.draw(wanted, size)
        flow = self._face.lay(_enlarged(around, size), heads.skin, wanted, motions, rasters)
        prior = flow.new_zeros(len(wanted), CHANNELS, size, size)
        guide = Guide(prior)
        frames = zip(wanted.numpy(), poses(motions), rasters, strict=True)
        gaps = [gap(points) for points in heads.skin.landmarks.numpy()]
        opened = flow.new_zeros(len(wanted), 1, size, size)
        for number, (points, pose, raster) in enumerate(frames):
            new = newness(gap(points), gaps[min(number, len(gaps) - 1)])
            if new > 0:
                opened[number, 0] = torch.from_numpy(between_lips(points * np.float32(size / CROP_UNITS), new, size))
            completion = heads.completions[min(number, len(heads.completions) - 1)]
            if completion is None:
                continue
            clearing = completion.clearing(around[number, None], motions[number, None])
            flow[number] += _enlarged(clearing, size)[0] * torch.from_numpy(raster.number < 0)
            part = self._completer.frame(completion, points, pose, raster, size)
            if part is not None:
                guide.completed[number, 0].numpy()[part.box] = part.share
                for out, colour in zip(guide.completion[number].numpy(), part.colours, strict=True):
                    np.multiply(colour, part.share, out=out[part.box])
        guide.flow.copy_(flow)
        guide.doubt.copy_(doubts(flow, completed=guide.completed, opened=opened, missed=missed))
        return guide

    def moved(self, portrait: SourceFace, target: Landmarks, motions: Floats) -> Frames:
        """Pictures (B, H, W, 3) uint8 of a portrait warped to landmarks (B, 478, 3) and motions (B, 70)."""
        return guided(portrait, self.guide_of(portrait, target, motions))

    def guide_of(self, portrait: SourceFace, target: Landmarks, motions: Floats) -> Guide:
        """The guide that takes one portrait to landmarks (B, 478, 3) and motions (B, 70)."""
        size = portrait.image.shape[0]
        return self.guide(self.head_of(portrait), torch.from_numpy(target), torch.from_numpy(motions), size=size)


def guided(portrait: SourceFace, guide: Guide) -> Frames:
    """Pictures (B, H, W, 3) uint8 of a portrait as its guide reads and completes it, no network touching them."""
    return to_frames(guide.complete(warp(to_image(portrait.image), guide.flow, grid="aligned")))


def _enlarged(flow: Tensor, size: int) -> Tensor:
    """A flow (B, 2, S, S) in crop units as one of `size` pixels a side, in these."""
    return F.interpolate(flow * (size / CROP_UNITS), size=(size, size), mode="bilinear", align_corners=False)
