"""The prior flow: where the morphable model itself says that each pixel came from.

On the face that is what a triangle mesh over the landmarks says (`model.renderer.face_flow`); around it each pixel
follows the head as the portrait's skin says (`model.renderer.skinning`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.engines import to_image
from model.morphable import MorphableModel
from model.renderer.doubt import doubts
from model.renderer.face_flow import FaceFlow
from model.renderer.guide import Guide, plain_guide
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


class Prior:
    """Computes prior flows from a portrait's skin and the landmarks and motions that it shall have."""

    def __init__(self, morphable: MorphableModel, skinning: SkinningNetwork) -> None:
        self._face = FaceFlow(morphable)
        self._skinning = skinning

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
    def guide(self, skin: Skin, target: Tensor, motions: Tensor, *, size: int) -> Guide:
        """What takes the source to the target, and where that is doubtful.

        Args:
            skin: the sources' (B), or the one source's (1).
            target: landmarks (B, 478, 3) that the result shall have, in pixels of the 256 crop.
            motions: motions (B, 70) that it shall have.
            size: side of the images in pixels.
        """
        wanted, motions = target.float().cpu(), motions.float().cpu()
        around, missed = skin.origins(wanted, motions)
        around = F.interpolate(around * (size / 256.0), size=(size, size), mode="bilinear", align_corners=False)
        flow, mirrored, shown = self._face.lay(around, skin, wanted, motions)
        doubt = doubts(flow, mirrored=mirrored, shown=shown, missed=missed)
        return replace(plain_guide(flow), doubt=doubt)

    def flow(self, skin: Skin, target: Tensor, motions: Tensor, *, size: int) -> Tensor:
        """The flow (B, 2, size, size) of `guide`."""
        return self.guide(skin, target, motions, size=size).flow

    def moved(self, portrait: Portrait, target: np.ndarray, motions: np.ndarray) -> np.ndarray:
        """Pictures (B, H, W, 3) uint8 of a portrait warped to landmarks (B, 478, 3) and motions (B, 70)."""
        flow = self.flow(
            self.skin_of(portrait), torch.from_numpy(target), torch.from_numpy(motions), size=portrait.image.shape[0]
        )
        pixels = torch.from_numpy(np.ascontiguousarray(portrait.image)).permute(2, 0, 1)[None].float()
        warped: np.ndarray = warp(pixels, flow, grid="aligned").round().byte().permute(0, 2, 3, 1).numpy()
        return warped
