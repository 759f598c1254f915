"""The prior flow: where the morphable model itself says that each pixel came from.

On the face that is what a triangle mesh over the landmarks says (`model.renderer.face_flow`); around it each pixel
follows the head as the portrait's skin says (`model.renderer.skinning`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.engines import to_image
from model.morphable import MorphableModel
from model.renderer.completion import PAGE_SIDE, Completer, Completion, poses
from model.renderer.face_flow import FaceFlow
from model.renderer.skinning import Skin, SkinningNetwork
from model.renderer.warping import warp


class Portrait(Protocol):
    """What a prior needs of an extraction: see `model.extractor.Extraction`."""

    @property
    def image(self) -> np.ndarray:
        """The face crop, RGB uint8 (256, 256, 3)."""

    @property
    def landmarks(self) -> np.ndarray:
        """(478, 3) in pixels of the crop."""

    @property
    def motion(self) -> np.ndarray:
        """The portrait's own motion (70,)."""


@dataclass(frozen=True)
class Guide:
    """Where frames come from: of the portrait by flow (B, 2, S, S) in pixels, else from the portrait's completion.

    share (B, 1, S, S), 0..1, is what of each pixel is the completion's, colours (B, 3, S, S) what that shows, in
    [-1, 1] and times its share; places (B, S, S, 2), where in its page it was read, -1 and 1 being the edges. All three
    None where the portrait needs no completion.
    """

    flow: Tensor
    share: Tensor | None = None
    colours: Tensor | None = None
    places: Tensor | None = None

    def laid(self, warped: Tensor) -> Tensor:
        """Warped portraits (B, 3, S, S) in [-1, 1] with what completes them."""
        if self.share is None or self.colours is None:
            return warped
        return warped * (1 - self.share) + self.colours


class Prior:
    """Computes prior flows from a portrait's skin and the landmarks and motions that it shall have."""

    def __init__(self, morphable: MorphableModel, skinning: SkinningNetwork) -> None:
        self._face = FaceFlow(morphable)
        self._skinning = skinning
        self._completer = Completer(morphable)

    @classmethod
    def load(cls, morphable: MorphableModel, directory: Path | None = None) -> Prior:
        """A prior with the released skinning network, or the one in `directory`.

        Raises:
            WeightsError: weights or card are missing, damaged or do not fit.
        """
        return cls(morphable, SkinningNetwork.load(directory))

    @torch.no_grad()
    def skin(self, source: Tensor, landmarks: Tensor, motion: Tensor) -> Skin:
        """How portraits (B, 3, H, W) in [-1, 1] follow their heads.

        landmarks (B, 478, 3) in pixels of the 256 crop and motion (B, 70) are the portraits' own. It is computed on the
        CPU, as flows are.
        """
        return self._skinning.skin(source.float().cpu(), landmarks.float().cpu(), motion.float().cpu())

    def skin_of(self, portrait: Portrait) -> Skin:
        """The skin of one portrait."""
        landmarks, motion = (torch.from_numpy(np.asarray(a, np.float32)) for a in (portrait.landmarks, portrait.motion))
        return self.skin(to_image(portrait.image), landmarks[None], motion[None])

    @torch.no_grad()
    def complete(self, source: Tensor, skin: Skin) -> Completion | None:
        """What a portrait (1, 3, H, W) in [-1, 1] lacks of the face, or None where it shows both halves of it."""
        picture = source[0].float().cpu().permute(1, 2, 0).contiguous().numpy()
        return self._completer.complete(picture, skin)

    def flow(self, skin: Skin, target: Tensor, motions: Tensor, *, size: int) -> Tensor:
        """Backward flow (B, 2, size, size) in pixels that takes the source to the target.

        Args:
            skin: the sources' (B), or the one source's (1).
            target: landmarks (B, 478, 3) that the result shall have, in pixels of the 256 crop.
            motions: motions (B, 70) that it shall have.
            size: side of the images in pixels.
        """
        return self.guide(skin, None, target, motions, size=size).flow

    @torch.no_grad()
    def guide(self, skin: Skin, completion: Completion | None, target: Tensor, motions: Tensor, *, size: int) -> Guide:
        """The flow to the target, see `flow`, and what completes it where one portrait has a completion."""
        wanted, motions = target.float().cpu(), motions.float().cpu()
        around = skin.origins(wanted, motions)
        drawings = self._face.draw(wanted, size)
        flow = self._face.lay(_enlarged(around, size), skin, wanted, motions, drawings)
        if completion is None:
            return Guide(flow.to(target.device))
        outside = torch.from_numpy(np.stack([drawn.number < 0 for drawn in drawings]))[:, None]
        flow += _enlarged(completion.clearing(around, motions), size) * outside
        share, colours, places = (np.zeros((len(wanted), channels, size, size), np.float32) for channels in (1, 3, 2))
        frames = zip(wanted.numpy(), poses(motions), drawings, strict=True)
        for number, (points, pose, drawn) in enumerate(frames):
            part = self._completer.frame(completion, points, pose, drawn, size)
            if part is not None:
                share[number, 0][part.box] = part.share
                for out, colour in zip(colours[number], part.colours, strict=True):
                    np.multiply(colour, part.share, out=out[part.box])
                for out, place in zip(places[number], part.places, strict=True):
                    np.subtract(place * np.float32(2 / PAGE_SIDE), 1, out=out[part.box])
        laid = (torch.from_numpy(part).to(target.device) for part in (share, colours, places))
        return Guide(flow.to(target.device), next(laid), next(laid), next(laid).permute(0, 2, 3, 1))

    def moved(self, portrait: Portrait, target: np.ndarray, motions: np.ndarray) -> np.ndarray:
        """Pictures (B, H, W, 3) uint8 of a portrait warped to landmarks (B, 478, 3) and motions (B, 70)."""
        source, skin = to_image(portrait.image), self.skin_of(portrait)
        guide = self.guide(
            skin,
            self.complete(source, skin),
            torch.from_numpy(target),
            torch.from_numpy(motions),
            size=portrait.image.shape[0],
        )
        shown = guide.laid(warp(source, guide.flow, grid="aligned")).clamp(-1, 1)
        pictures: np.ndarray = ((shown + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        return pictures


def _enlarged(flow: Tensor, size: int) -> Tensor:
    """A flow (B, 2, S, S) in pixels of the 256 crop as one of `size` pixels a side, in these."""
    return F.interpolate(flow * (size / 256.0), size=(size, size), mode="bilinear", align_corners=False)
