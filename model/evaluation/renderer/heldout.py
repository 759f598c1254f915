"""Held-out people for judging a renderer: clips and photos as portraits.

Of a clip its motion, and pictures and landmarks of chosen frames; a photo may be turned aside, which makes it the truth
of the way back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.arrays import Array, Floats, Landmarks, Pixels
from model.data.clips import SMALLEST_SHARP_FACE, choose_frames
from model.data.corpus import Item, read_corpus, spread
from model.data.warp_back import LARGEST_YAW, moved_away
from model.extractor import Crop, Extraction
from model.extractor.smoothing import smoothed
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES
from model.pictures import to_frames, to_image
from model.renderer.prior.prior import Prior

STILLS_PER_CLIP = 8  # frames spread over the clip, the first one among them, a quarter of them the most expressive
RUN = 5  # consecutive frames from the middle, for what only shows in time


@dataclass(frozen=True)
class HeldOutClip:
    """One clip, its first frame as the portrait."""

    portrait: Extraction
    motions: Floats  # (T, 70), fitted to the landmarks
    frames: list[int]  # numbers of the other stored frames
    run: list[int]  # numbers of RUN consecutive frames
    pictures: dict[int, Array]  # (S, S, 3) uint8 of frames and run
    landmarks: Landmarks  # (T, 478, 3) in crop units: the corpus's, by the parabola that driving videos get

    def shown(self, numbers: list[int]) -> Array:
        """Pictures (n, S, S, 3) of those frames."""
        return np.stack([self.pictures[number] for number in numbers])


def held_out_items(data: Path, *, clips: int | None = None) -> Sequence[Item]:
    """The val split's clips of real people (generated = 0) with faces of enough pixels; at most `clips`, spread."""
    items = [
        item
        for item in read_corpus(data, split="val", kind="clip")
        if item.face_px >= SMALLEST_SHARP_FACE and not item.generated and item.frames >= RUN
    ]
    return spread(items, clips)


def held_out_clip(item: Item, morphable: MorphableModel) -> HeldOutClip:
    """One of them, read: some megabytes."""
    given = item.landmarks()
    first, *frames = choose_frames(given, STILLS_PER_CLIP).tolist()
    points = np.stack(list(smoothed(given)))
    middle = (len(points) - RUN) // 2
    run = list(range(middle, middle + RUN))
    numbers = sorted({first, *frames, *run})
    pictures = dict(zip(numbers, item.read_frames(numbers), strict=True))
    fit = morphable.fit_clip(torch.from_numpy(points))
    own = morphable.fit(
        torch.from_numpy(given[first : first + 1]), fit.identity[:1]
    )  # of a photo, which nothing smooths
    portrait = _portrait(pictures[first], given[first], fit.identity[0].numpy(), own.motion[0].numpy())
    return HeldOutClip(portrait, fit.motion.numpy(), frames, run, pictures, points)


def held_out_stills(data: Path, morphable: MorphableModel, *, stills: int | None = None) -> Iterator[Extraction]:
    """The val split's photos as portraits; at most `stills`, spread over them."""
    items: list[Item] = read_corpus(data, split="val", kind="still")
    for item in spread(items, stills):
        points = item.landmarks()
        fit = morphable.fit(torch.from_numpy(points))
        yield _portrait(next(iter(item.read_frames([0]))), points[0], fit.identity[0].numpy(), fit.motion[0].numpy())


def turned_aside(photo: Extraction, degrees: float, morphable: MorphableModel, prior: Prior) -> Extraction:
    """The photo turned by so many degrees of yaw, as a photo that shows no more than that.

    It ends within LARGEST_YAW to either side. Its landmarks and motion are those that it was moved to, not read anew.
    """
    points, own, identity = map(torch.from_numpy, (photo.landmarks, photo.motion, photo.identity))
    moved = own.clone()
    moved[ANGLES.start] = (own[ANGLES.start] + np.radians(degrees)).clamp(-LARGEST_YAW, LARGEST_YAW)
    image, landmarks = moved_away(
        to_image(photo.image), points, identity[None], own=own, moved=moved, morphable=morphable, prior=prior
    )
    return _portrait(to_frames(image)[0], landmarks.numpy(), photo.identity, moved.numpy())


def _portrait(image: Pixels, landmarks: Landmarks, identity: Floats, motion: Floats) -> Extraction:
    return Extraction(Crop(0, 0, len(image)), image, landmarks, identity, motion, confidence=1.0)
