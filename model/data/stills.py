"""Pairs made of stills: the target is the photo, the source is the same photo moved to another motion by its mesh.

Photos show far more people than clips do, sharper, and some of them laugh: moved to the closed mouth of somebody
else's frame, such a photo teaches what the inside of an opening mouth looks like.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from torch import Tensor

from model.data.clips import SMALLEST_FACE, mirror_landmarks, openings
from model.data.corpus import read_corpus
from model.extractor.topology import mirror_permutation
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, MOTION

log = structlog.get_logger(__name__)

POSE_SPREAD = np.array([12.0, 7.0, 4.0]) * np.pi / 180  # standard deviations of yaw, pitch and roll
SHIFT_SPREAD = 0.04  # of log scale and of both offsets, in half sides of the crop
CLOSED_SHARE = 0.7  # how often the source's mouth is the most closed of a few


@dataclass(frozen=True)
class Still:
    """One photo and its mirror (index 0 and 1)."""

    image: np.ndarray  # (256, 256, 3) uint8
    landmarks: tuple[Tensor, Tensor]  # (478, 3) in pixels of the 256 crop
    motions: tuple[Tensor, Tensor]  # (70,)
    identities: tuple[Tensor, Tensor]  # (1, 80)
    mouth: float  # how far it is open, see `openings`


def load_stills(data: Path, morphable: MorphableModel, *, split: str) -> list[Still]:
    """The split's photos whose faces are large enough to teach a renderer."""
    items = [item for item in read_corpus(data, split=split) if item.kind == "still" and item.face_px >= SMALLEST_FACE]
    if not items:
        return []
    points = torch.from_numpy(np.concatenate([item.landmarks() for item in items]))
    sides = (points, mirror_landmarks(points, mirror_permutation(morphable.mean.numpy())))
    fits = [morphable.fit(side) for side in sides]
    log.info("stills ready", split=split, stills=len(items))
    return [
        Still(
            image=next(iter(item.read_frames([0]))),
            landmarks=(sides[0][number], sides[1][number]),
            motions=(fits[0].motion[number], fits[1].motion[number]),
            identities=(fits[0].identity[number][None], fits[1].identity[number][None]),
            mouth=float(openings(item.landmarks())[0, 1]),
        )
        for number, item in enumerate(items)
    ]


def moved_motion(
    still: Still, mirrored: int, others: Tensor, morphable: MorphableModel, generator: np.random.Generator
) -> Tensor:
    """A motion (70,) for the source: the still's pose turned at random, the expression of one of `others` (n, 70)."""
    own, identity = still.motions[mirrored], still.identities[mirrored]
    candidates = own.repeat(len(others), 1)
    candidates[:, :EXPRESSION] = others[:, :EXPRESSION]
    chosen = 0
    if generator.random() < CLOSED_SHARE:
        shapes = morphable.landmarks(identity.expand(len(others), -1), candidates)
        chosen = int(openings(shapes.numpy())[:, 1].argmin())
    motion = candidates[chosen]
    spread = np.concatenate([POSE_SPREAD, np.full(MOTION - EXPRESSION - 3, SHIFT_SPREAD)])
    motion[EXPRESSION:] += torch.from_numpy((generator.standard_normal(len(spread)) * spread).astype(np.float32))
    return motion
