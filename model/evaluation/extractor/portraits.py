"""Held-out people as pictures with landmarks, to be pasted into scenes."""

from dataclasses import dataclass

import torch

from model.arrays import Landmarks, Pixels
from model.data.corpus import Item
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES

SEARCH_STEP = 5  # every so many frames of a clip are looked at for the most turned one


@dataclass(frozen=True, eq=False)
class LabelledPortrait:
    """A crop (S, S, 3) uint8 with its landmarks (478, 3) and the head's yaw in degrees."""

    picture: Pixels
    landmarks: Landmarks
    yaw: float = 0.0


def read_portraits(stills: list[Item]) -> list[LabelledPortrait]:
    """The photos, one a person."""
    return [LabelledPortrait(next(iter(item.read_frames([0]))), item.landmarks()[0]) for item in stills]


def turned_portraits(clips: list[Item], morphable: MorphableModel) -> list[LabelledPortrait]:
    """Of each clip the frame in which the head is turned the farthest to a side."""
    portraits = []
    for item in clips:
        landmarks = item.landmarks()
        yaws = morphable.fit_clip(torch.from_numpy(landmarks[::SEARCH_STEP])).motion[:, ANGLES.start]
        chosen = int(yaws.abs().argmax())
        frame = next(iter(item.read_frames([chosen * SEARCH_STEP])))
        portraits.append(LabelledPortrait(frame, landmarks[chosen * SEARCH_STEP], float(yaws[chosen].rad2deg())))
    return portraits
