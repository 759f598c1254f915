"""Does the picture do what the controls ask? Rendered controls on held-out stills, read back by the extractor."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from model.animation.animator import Animator
from model.animation.composite import composed
from model.arrays import Array, Floats, Frames, Landmarks, Pixels
from model.data.clips import openings
from model.errors import NoFaceError
from model.extractor import Extraction, Extractor
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES
from model.morphable.controls import Controls
from model.renderer.prior.prior import Prior

# What is asked, and how it shows: index of an angle, or of `openings` (eyes, mouth).
ASKED: dict[str, tuple[Mapping[str, float], str, int]] = {
    "yaw_plus_20": ({"yaw": 20.0}, "angle", 0),
    "yaw_minus_20": ({"yaw": -20.0}, "angle", 0),
    "pitch_plus_10": ({"pitch": 10.0}, "angle", 1),
    "pitch_minus_10": ({"pitch": -10.0}, "angle", 1),
    "jaw_open_1": ({"jaw_open": 1.0}, "opening", 1),
    "blink_1": ({"blink_left": 1.0, "blink_right": 1.0}, "opening", 0),
}

# The motions of the sheet, each with its caption.
SHOWN: dict[str, Mapping[str, float]] = {
    "yaw -30": {"yaw": -30.0},
    "yaw -20": {"yaw": -20.0},
    "yaw 20": {"yaw": 20.0},
    "yaw 30": {"yaw": 30.0},
    "pitch 15": {"pitch": 15.0},
    "pitch -15": {"pitch": -15.0},
    "jaw_open 1": {"jaw_open": 1.0},
    "blink 1": {"blink_left": 1.0, "blink_right": 1.0},
    "smile 1": {"smile": 1.0},
}


def follow_controls(animator: Animator, extractor: Extractor, portraits: Sequence[Extraction]) -> dict[str, float]:
    """Per control: the mean change asked and got, and the share of portraits where its sign is right.

    Changes are against the same portrait drawn in its own motion. Angles in degrees; openings as shares of the eyes'
    width and of the face's height. Asked is what the morphable model says, got what the extractor sees in the picture,
    mesh what it sees in the portrait whose mesh was moved all the way: what is missing there, the reader misses.
    """
    morphable = extractor.morphable
    controls, prior = Controls.load(morphable), animator.prior or Prior.load(morphable)
    changes: dict[str, dict[str, list[float]]] = {name: {"asked": [], "got": [], "mesh": []} for name in ASKED}
    found = 0
    for portrait in portraits:
        motions = _motions(controls, portrait, [values for values, _, _ in ASKED.values()])
        wanted = _landmarks(morphable, portrait, motions)
        pictures = draw_stills(animator, portrait, motions)
        meshes = prior.moved(portrait, wanted, motions)
        try:
            got, mesh = ([_read(extractor, picture) for picture in drawn] for drawn in (pictures, meshes))
        except NoFaceError:
            continue
        found += 1
        asked = [_measures(np.degrees(motion[ANGLES]), at) for motion, at in zip(motions, wanted, strict=True)]
        for number, (name, (_, kind, index)) in enumerate(ASKED.items(), start=1):
            for source, values in (("asked", asked), ("got", got), ("mesh", mesh)):
                changes[name][source].append(float(values[number][kind][index] - values[0][kind][index]))
    figures: dict[str, float] = {"stills": len(portraits), "faces_found_after": found}
    if not found:
        return figures
    for name, change in changes.items():
        figures |= {f"{name}_{source}": round(float(np.mean(values)), 4) for source, values in change.items()}
        right = np.sign(change["asked"]) == np.sign(change["got"])
        figures[f"{name}_right_sign"] = round(float(right.mean()), 3)
    return figures


def control_sheet(
    animator: Animator,
    morphable: MorphableModel,
    portraits: Sequence[Extraction],
    path: Path,
    *,
    shown: Mapping[str, Mapping[str, float]] = SHOWN,
    marked: bool = False,
) -> None:
    """Write a picture: a row a portrait, as it is (with its landmarks where `marked`) and at the controls `shown`."""
    controls = Controls.load(morphable)
    rows = []
    for portrait in portraits:
        motions = _motions(controls, portrait, list(shown.values()))
        first = _with_landmarks(portrait) if marked else portrait.image
        rows.append(np.concatenate([first, *draw_stills(animator, portrait, motions)[1:]], 1))
    caption = np.full((24, rows[0].shape[1], 3), 255, np.uint8)
    width = rows[0].shape[1] // (1 + len(shown))
    for column, text in enumerate(["portrait", *shown]):
        cv2.putText(caption, text, (width * column + 6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate([caption, *rows])[..., ::-1])


def _with_landmarks(portrait: Extraction) -> Array:
    marked = portrait.image.copy()
    for x, y in (portrait.landmarks[:, :2] - 0.5).round().astype(int).tolist():
        cv2.circle(marked, (x, y), 1, (0, 255, 120), -1)
    return marked


def draw_stills(animator: Animator, portrait: Extraction, motions: Floats) -> Frames:
    """Pictures (B, S, S, 3) of motions (B, 70), each held still: a still's window repeats its motion."""
    prepared = animator.prepare(portrait)
    return np.concatenate(
        [composed(portrait.image, next(animator.animate(prepared, motion[None]))) for motion in motions]
    )


def _motions(controls: Controls, portrait: Extraction, asked: list[Mapping[str, float]]) -> Array:
    """The portrait's own motion, then it with each of the controls `asked`: (1 + n, 70)."""
    own = portrait.motion
    return np.stack([own, *(controls.apply(portrait.identity, own, values) for values in asked)]).astype(np.float32)


def _landmarks(morphable: MorphableModel, portrait: Extraction, motions: Floats) -> Array:
    points, own, identity = map(torch.from_numpy, (portrait.landmarks, portrait.motion, portrait.identity))
    moved: Array = morphable.move(points, identity[None], own, torch.from_numpy(motions)).numpy()
    return moved


def _read(extractor: Extractor, picture: Pixels) -> dict[str, Array]:
    found = extractor.extract(picture)
    return _measures(np.degrees(found.motion[ANGLES]), found.crop.points_to_source(found.landmarks[:, :2]))


def _measures(angles: Array, landmarks: Landmarks) -> dict[str, Array]:
    """Angles (3,) in degrees, and openings (2,) of eyes and mouth of landmarks (478, 2 or 3)."""
    return {"angle": angles, "opening": openings(landmarks[None])[0]}
