"""Does the picture do what the controls ask? Rendered controls on held-out stills, read back by the extractor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.data.clips import openings
from model.data.corpus import read_corpus
from model.errors import NoFaceError
from model.extractor import Crop, Extraction, Extractor
from model.morphable import MorphableModel
from model.morphable.controls import Controls
from model.renderer.animate import Animator

# What is asked, and how it shows: index of an angle, or of `openings` (eyes, mouth).
ASKED: dict[str, tuple[Mapping[str, float], str, int]] = {
    "yaw_plus_20": ({"yaw": 20.0}, "angle", 0),
    "yaw_minus_20": ({"yaw": -20.0}, "angle", 0),
    "pitch_plus_10": ({"pitch": 10.0}, "angle", 1),
    "pitch_minus_10": ({"pitch": -10.0}, "angle", 1),
    "jaw_open_1": ({"jaw_open": 1.0}, "opening", 1),
    "blink_1": ({"blink_left": 1.0, "blink_right": 1.0}, "opening", 0),
}


@dataclass(frozen=True)
class Reading:
    """Angles (3,) in degrees and openings (2,) of one picture."""

    angles: np.ndarray
    openings: np.ndarray


def follow_controls(animator: Animator, data: Path, *, stills: int | None = None) -> dict[str, float]:
    """Per control: the mean change asked and got, and the share of stills where its sign is right.

    Changes are against the same portrait rendered in its own motion. Angles in degrees; openings as shares of the eyes'
    width and of the face's height. Asked is what the morphable model says, got what the extractor sees in the picture.
    """
    morphable, extractor = MorphableModel.load(), Extractor.load()
    controls = Controls.load(morphable)
    asked: dict[str, list[float]] = {name: [] for name in ASKED}
    got: dict[str, list[float]] = {name: [] for name in ASKED}
    items = read_corpus(data, split="val", kind="still")[:stills]
    for item in items:
        landmarks = torch.from_numpy(item.landmarks())
        fit = morphable.fit(landmarks)
        portrait = Extraction(
            crop=Crop(0, 0, 256),
            image=next(iter(item.read_frames([0]))),
            landmarks=landmarks[0].numpy(),
            identity=fit.identity[0].numpy(),
            motion=fit.motion[0].numpy(),
            confidence=1.0,
        )
        motions = [portrait.motion]
        motions += [controls.apply(portrait.identity, portrait.motion, values) for values, _, _ in ASKED.values()]
        # One at a time: a still's window repeats its motion.
        pictures = [next(animator.animate(portrait, motion[None]))[0] for motion in motions]
        try:
            seen = [_read(extractor, picture) for picture in pictures]
        except NoFaceError:
            continue
        model = morphable.landmarks(fit.identity.expand(len(motions), -1), torch.from_numpy(np.stack(motions))).numpy()
        wanted = [
            Reading(np.degrees(motion[64:67]), openings(points[None])[0])
            for motion, points in zip(motions, model, strict=True)
        ]
        for number, (name, (_, kind, index)) in enumerate(ASKED.items(), start=1):
            asked[name].append(_change(wanted[0], wanted[number], kind, index))
            got[name].append(_change(seen[0], seen[number], kind, index))
    figures: dict[str, float] = {"stills": len(items), "faces_found_after": len(next(iter(got.values())))}
    for name in ASKED:
        figures[f"{name}_asked"] = round(float(np.mean(asked[name])), 4)
        figures[f"{name}_got"] = round(float(np.mean(got[name])), 4)
        figures[f"{name}_right_sign"] = round(float(np.mean(np.sign(asked[name]) == np.sign(got[name]))), 3)
    return figures


def _read(extractor: Extractor, picture: np.ndarray) -> Reading:
    found = extractor.extract(picture, extractor.find_faces(picture)[0])
    points = found.crop.points_to_source(found.landmarks[:, :2])
    return Reading(np.degrees(found.motion[64:67]), openings(points[None])[0])


def _change(before: Reading, after: Reading, kind: str, index: int) -> float:
    values = (before.angles, after.angles) if kind == "angle" else (before.openings, after.openings)
    return float(values[1][index] - values[0][index])
