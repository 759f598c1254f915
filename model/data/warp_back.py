"""Pairs whose truth is known: the target is a picture, the source the same picture moved to another motion.

Two frames of a clip differ by more than the motion: cameras pan and light changes, which no network can know, and
which teaches caution. A picture that is warped away and back shows just what serving shows, stretched cheeks and
dragged walls, and what should be there is known to the pixel (Han et al., "Single-view view synthesis in the wild with
learned adaptive multiplane images", SIGGRAPH 2022, call it warp-back). Photos also show far more people than clips do,
sharper, and some of them laugh: moved to a closed mouth, such a photo teaches what is inside of an opening mouth.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from torch import Tensor
from torch.nn import functional as F

from model.arrays import Array, Pixels
from model.data.clips import SMALLEST_SHARP_FACE, Clip, mirror_landmarks, openings
from model.data.corpus import read_corpus
from model.face.topology import mirror_permutation
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES, EXPRESSION, POSE, POSE_SIZE
from model.renderer.guide import Guide
from model.renderer.prior.prior import Prior
from model.renderer.warping import pixel_centres

log = structlog.get_logger(__name__)

POSE_SPREAD = np.array([17.0, 8.0, 5.0]) * np.pi / 180  # standard deviations of yaw, pitch and roll
LARGEST_YAW = 45.0 * np.pi / 180  # of a source; what is further away than that lies on its side in the mesh
SHIFT_SPREAD = 0.05  # of log scale and of both offsets, in half sides of the crop
CLOSED_SHARE = 0.6  # how often the source's mouth is the most closed of a few
OPEN_MOUTH = 0.1  # share of the face's height; a photo with such a mouth is chosen three times as often
HALF_PROFILE = 30.0 * np.pi / 180  # of yaw; a photo turned so far is chosen three times as often


@dataclass(frozen=True)
class Picture:
    """One photo or frame, and its mirror image (index 0 and 1)."""

    image: Pixels  # (S, S, 3) uint8
    landmarks: tuple[Tensor, Tensor]  # (478, 3) in crop units
    motions: tuple[Tensor, Tensor]  # (70,)
    identities: tuple[Tensor, Tensor]  # (1, 80)
    repo: str = ""  # that carried it

    @classmethod
    def of_clip(cls, clip: Clip, image: Pixels, number: int) -> "Picture":
        """The clip's stored frame of that number."""
        frame = int(clip.frames[number])
        return cls(
            image,
            (clip.landmarks[0][number], clip.landmarks[1][number]),
            (clip.motions[0][frame], clip.motions[1][frame]),
            clip.identity,
        )


def load_photos(data: Path, morphable: MorphableModel, *, split: str) -> list[Picture]:
    """The split's photos whose faces are large enough to teach a renderer."""
    items = [
        item for item in read_corpus(data, split=split) if item.kind == "still" and item.face_px >= SMALLEST_SHARP_FACE
    ]
    if not items:
        return []
    points = torch.from_numpy(np.concatenate([item.landmarks() for item in items]))
    sides = (points, mirror_landmarks(points, mirror_permutation(morphable.mean.numpy())))
    fits = [morphable.fit(side) for side in sides]
    log.info("photos ready", split=split, photos=len(items))
    return [
        Picture(
            image=next(iter(item.read_frames([0]))),
            landmarks=(sides[0][number], sides[1][number]),
            motions=(fits[0].motion[number], fits[1].motion[number]),
            identities=(fits[0].identity[number][None], fits[1].identity[number][None]),
            repo=item.repo,
        )
        for number, item in enumerate(items)
    ]


def chances(photos: list[Picture]) -> Array:
    """How often each photo is drawn (n,): open mouths and half profiles, which are rare, more often than others."""
    mouth = np.array([openings(photo.landmarks[0].numpy()[None])[0, 1] for photo in photos])
    yaw = np.array([abs(float(photo.motions[0][ANGLES.start])) for photo in photos])
    favoured = 1 + 2 * np.minimum(mouth / OPEN_MOUTH, 1) + 2 * np.minimum(yaw / HALF_PROFILE, 1) ** 2
    chance: Array = favoured / favoured.sum()
    return chance


def moved_motion(
    picture: Picture, mirrored: int, others: Tensor, morphable: MorphableModel, generator: np.random.Generator
) -> Tensor:
    """A motion (70,) for the source: the picture's pose turned at random, the expression of one of `others` (n, 70)."""
    own, identity = picture.motions[mirrored], picture.identities[mirrored]
    candidates = own.repeat(len(others), 1)
    candidates[:, EXPRESSION] = others[:, EXPRESSION]
    chosen = 0
    if generator.random() < CLOSED_SHARE:
        shapes = morphable.landmarks(identity.expand(len(others), -1), candidates)
        chosen = int(openings(shapes.numpy())[:, 1].argmin())
    motion = candidates[chosen]
    spread = np.concatenate([POSE_SPREAD, np.full(POSE_SIZE - 3, SHIFT_SPREAD)])
    motion[POSE] += torch.from_numpy((generator.standard_normal(len(spread)) * spread).astype(np.float32))
    motion[ANGLES.start] = motion[ANGLES.start].clamp(-LARGEST_YAW, LARGEST_YAW)
    return motion


def moved_away(
    image: Tensor,
    landmarks: Tensor,
    identity: Tensor,
    *,
    own: Tensor,
    moved: Tensor,
    morphable: MorphableModel,
    prior: Prior,
) -> tuple[Tensor, Tensor]:
    """A picture in another motion: (1, 3, S, S) in [-1, 1], and the landmarks (478, 3) that it has there.

    image (1, 3, S, S) in [-1, 1]; its landmarks (478, 3) in crop units and identity (1, 80); its own motion
    and the one that it is moved to (70,).
    """
    target = morphable.move(landmarks, identity, own, moved[None])
    heads = prior.heads(image, landmarks[None], own[None])
    return moved_picture(image, prior.guide(heads, target, moved[None], size=image.shape[-1])), target[0]


def moved_picture(image: Tensor, guide: Guide) -> Tensor:
    """The picture (B, 3, S, S) in [-1, 1] as the guide moves it.

    It is read by cubics: read twice bilinearly, it would be softer than a portrait is, and the network would learn to
    sharpen.
    """
    size = guide.flow.shape[-1]
    places = pixel_centres((size, size)) + guide.flow * (2 / size)
    moved = F.grid_sample(image, places.permute(0, 2, 3, 1), mode="bicubic", padding_mode="border", align_corners=False)
    return guide.complete(moved.clamp(-1, 1))
