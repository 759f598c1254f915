"""Named controls: directions in motion space that move one measure of the face each.

A measure is linear in the unposed shape: the lips' gap, the lids' gap, the height of the mouth's corners. With G the
measures' gradients in whitened expression coefficients, the most likely expression change that moves measure i by one
and holds others still is column i of G^T (G G^T)^-1 (the conditional mean of a Gaussian). So controls are independent
of each other by construction, exactly, since shapes are linear; but for a share that goes along where faces have it so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from model.arrays import Array, Floats
from model.errors import ControlError
from model.morphable.basis import (
    ANGLES,
    EXPRESSION,
    EXPRESSION_SIZE,
    LOG_SCALE,
    MOTION_SPACE,
    OFFSET,
    POINTS,
    MorphableModel,
)
from model.weights.files import read_card


@dataclass(frozen=True)
class Measure:
    """Signed sum of landmark coordinates: (point, axis, factor); axis 0 is x right, 1 is y down."""

    name: str
    terms: tuple[tuple[int, int, float], ...]
    minimum: float
    description: str

    def vector(self) -> Tensor:
        """The measure as a row (478 * 3) on flattened shapes."""
        row = torch.zeros(POINTS, 3)
        for point, axis, factor in self.terms:
            row[point, axis] += factor
        return row.flatten()


def measure(name: str) -> Measure:
    """The measure of that name."""
    return next(measure for measure in MEASURES if measure.name == name)


def _gap(upper: int, lower: int) -> tuple[tuple[int, int, float], ...]:
    return ((lower, 1, 1.0), (upper, 1, -1.0))


# MediaPipe's numbering. Left and right are the person's own: 386/374 are the lids of the left eye.
MEASURES: tuple[Measure, ...] = (
    Measure("jaw_open", _gap(13, 14), 0.0, "gap between the lips; 1 is wide open"),
    Measure(
        "smile",
        ((61, 1, -0.5), (291, 1, -0.5), (0, 1, 0.5), (17, 1, 0.5)),
        0.0,
        "corners of the mouth up and apart; 1 is a broad smile",
    ),
    Measure(
        "frown",
        ((61, 1, 0.5), (291, 1, 0.5), (0, 1, -0.5), (17, 1, -0.5)),
        0.0,
        "corners of the mouth down; 1 is a sulk",
    ),
    Measure("pucker", ((61, 0, 1.0), (291, 0, -1.0)), 0.0, "corners of the mouth together; 1 is a kiss"),
    Measure("blink_left", _gap(374, 386), 0.0, "the person's left lids; 1 is closed"),
    Measure("blink_right", _gap(145, 159), 0.0, "the person's right lids; 1 is closed"),
    Measure(
        "brow_raise",
        ((105, 1, -0.5), (334, 1, -0.5), (33, 1, 0.25), (133, 1, 0.25), (263, 1, 0.25), (362, 1, 0.25)),
        0.0,
        "both brows up; 1 is astonished",
    ),
    Measure(
        "brow_lower",
        ((105, 1, 0.5), (334, 1, 0.5), (33, 1, -0.25), (133, 1, -0.25), (263, 1, -0.25), (362, 1, -0.25)),
        0.0,
        "both brows down; 1 is stern",
    ),
    Measure(
        "gaze_x",
        ((468, 0, 0.5), (473, 0, 0.5), (33, 0, -0.25), (133, 0, -0.25), (263, 0, -0.25), (362, 0, -0.25)),
        -1.0,
        "eyes to the viewer's right",
    ),
    Measure(
        "gaze_y",
        ((468, 1, -0.5), (473, 1, -0.5), (33, 1, 0.25), (133, 1, 0.25), (263, 1, 0.25), (362, 1, 0.25)),
        -1.0,
        "eyes up",
    ),
)
# Measures that go along with a control in faces, and may here by a share of their range: a smile widens the mouth, and
# lids follow the eyes. A control that goes one way only is not moved by what goes the other: to widen the mouth is no
# pucker, so a smile does it as faces do.
ALONG: dict[str, frozenset[str]] = {
    "smile": frozenset({"pucker"}),
    "gaze_y": frozenset({"blink_left", "blink_right"}),
}
MOST_ALONG = 0.14
# What goes the other way on the same measure; the others hold still the one that it opposes.
OPPOSES = {"frown": "smile", "brow_lower": "brow_raise"}
LIDS = {"blink_left": (386, 374), "blink_right": (159, 145)}

# Their ranges end where the released renderer's pictures still look like heads.
_POSE_CONTROLS: tuple[dict[str, Any], ...] = (
    {
        "name": "yaw",
        "minimum": -45.0,
        "maximum": 45.0,
        "neutral": 0.0,
        "unit": "degrees",
        "description": "nose to the viewer's right",
    },
    {"name": "pitch", "minimum": -30.0, "maximum": 30.0, "neutral": 0.0, "unit": "degrees", "description": "nose up"},
    {
        "name": "roll",
        "minimum": -45.0,
        "maximum": 45.0,
        "neutral": 0.0,
        "unit": "degrees",
        "description": "clockwise as seen",
    },
    {
        "name": "x",
        "minimum": -0.5,
        "maximum": 0.5,
        "neutral": 0.0,
        "unit": "face widths",
        "description": "to the viewer's right",
    },
    {"name": "y", "minimum": -0.5, "maximum": 0.5, "neutral": 0.0, "unit": "face widths", "description": "up"},
    {
        "name": "scale",
        "minimum": 0.75,
        "maximum": 1.5,
        "neutral": 1.0,
        "unit": "times",
        "description": "size of the face",
    },
)


def fit_control_directions(model: MorphableModel, clips: Sequence[Tensor]) -> dict[str, list[float]]:
    """Direction (64) of each expression control, of the length that value 1 stands for.

    Value 1 is the 99th percentile of how far the measure moves from rest, a clip's 10th percentile, in the expressions
    (T, 64) of `clips`. What a face does both ways, as gaze and what opposes another control, is counted from the clip's
    median and as far as the 99.9th percentile, being rare in people who speak to a camera. A blink's direction has the
    unit length of the lids' gap, since how far a lid must go depends on the person.
    """
    rows = torch.stack([measure.vector() for measure in MEASURES])
    gradients = rows @ model.expression_basis.T  # (measures, 64)
    moved = [clip @ gradients.T for clip in clips]
    both_ways = [measure.minimum < 0 or measure.name in OPPOSES for measure in MEASURES]
    share = torch.tensor([0.5 if both else 0.1 for both in both_ways], dtype=gradients.dtype)
    rests = [torch.quantile(values, share, dim=0).diagonal() for values in moved]
    from_rest = torch.cat([values - rest for values, rest in zip(moved, rests, strict=True)])
    from_rest = torch.where(torch.tensor([measure.minimum < 0 for measure in MEASURES]), from_rest.abs(), from_rest)
    share = torch.tensor([0.999 if both else 0.99 for both in both_ways], dtype=gradients.dtype)
    reaches = torch.quantile(from_rest, share, dim=0).diagonal()
    full = {measure.name: float(reach) for measure, reach in zip(MEASURES, reaches, strict=True)}
    full |= {name: float(model.mean[lower, 1] - model.mean[upper, 1]) for name, (upper, lower) in LIDS.items()}
    directions = {}
    for number, measure in enumerate(MEASURES):
        reach = 1.0 if measure.name in LIDS else full[measure.name]
        direction = _direction(gradients, number, along=False)
        if measure.name in ALONG:
            natural = _direction(gradients, number, along=True)
            most = max(
                _moved(measure, other, reach * float(gradients[i] @ natural)) / full[other.name]
                for i, other in enumerate(MEASURES)
                if _along(measure, other)
            )
            direction = torch.lerp(direction, natural, min(1.0, MOST_ALONG / max(most, MOST_ALONG)))
        directions[measure.name] = [round(float(value), 6) for value in reach * direction]
    return directions


def _direction(gradients: Tensor, number: int, *, along: bool) -> Tensor:
    """The most likely change (64) that moves one measure by 1 and holds the others, but for what may go `along`."""
    own = MEASURES[number]
    held = [i for i, other in enumerate(MEASURES) if i == number or _holds(own, other, along=along)]
    inverse = torch.linalg.inv(gradients[held] @ gradients[held].T)
    return gradients[held].T @ inverse[:, held.index(number)]


def _holds(own: Measure, other: Measure, *, along: bool) -> bool:
    if other.name in OPPOSES or other.name == OPPOSES.get(own.name):
        return False
    return not (along and _along(own, other))


def _moved(own: Measure, other: Measure, change: float) -> float:
    """How far `change` of a measure goes the way its control goes, wherever the control `own` goes."""
    return abs(change) if own.minimum < 0 or other.minimum < 0 else max(0.0, change)


def _along(own: Measure, other: Measure) -> bool:
    return other.name in ALONG.get(own.name, frozenset())


def control_card(directions: Mapping[str, list[float]]) -> dict[str, Any]:
    """The card's part about controls: names, ranges and units for everyone, directions for `Controls`."""
    expression = [
        {
            "name": measure.name,
            "group": "gaze" if measure.minimum < 0 else "expression",
            "minimum": measure.minimum,
            "maximum": 1.0,
            "neutral": 0.0,
            "unit": "share of full reach",
            "description": measure.description,
        }
        for measure in MEASURES
    ]
    return {
        "controls": [{"group": "pose", **control} for control in _POSE_CONTROLS] + expression,
        "control_directions": dict(directions),
    }


class Controls:
    """Applies named controls to a motion."""

    def __init__(self, model: MorphableModel, card: Mapping[str, Any]) -> None:
        self._model = model
        self.specifications: dict[str, dict[str, Any]] = {control["name"]: control for control in card["controls"]}
        self._directions = {name: np.asarray(row, np.float32) for name, row in card["control_directions"].items()}

    @classmethod
    def load(cls, model: MorphableModel | None = None, directory: Path | None = None) -> Self:
        """Load with the released morphable model, or the one in `directory`."""
        return cls(model or MorphableModel.load(directory), read_card(MOTION_SPACE, directory))

    def apply(self, identity: Floats, motion: Floats, values: Mapping[str, float], *, relative: bool = True) -> Floats:
        """Motion (70,) with the controls' `values` on top of `motion` (relative) or instead of it (absolute).

        Absolute replaces what is named: a pose control sets its number, and any expression control starts from the
        resting face. Lengths are in face widths of the person with `identity` (80,).

        Raises ControlError: an unknown name, or a value out of its range.
        """
        for name, value in values.items():
            self._check(name, value)
        result = np.array(motion, np.float32)
        if not relative and any(name in self._directions for name in values):
            result[EXPRESSION] = 0.0
        opening = self._lid_openings(identity, result)
        for name, value in values.items():
            if name in LIDS:
                result[EXPRESSION] += value * opening[name] * self._directions[name]
            elif name in self._directions:
                result[EXPRESSION] += value * self._directions[name]
        self._apply_pose(result, identity, values, relative=relative)
        return result

    def on_top(self, identity: Floats, motion: Floats, change: Floats, motions: Floats) -> Floats:
        """Motions (T, 70) of a face with a change (T, 70) of its own `motion` (70,) added to each.

        A blink on top of a blink would turn lids inside out: lips and lids do not pass through each other, and lips
        part no further than an open jaw parts the face's own, unless the motions or the change alone have it so.
        """
        changed = motions + change
        for name in ("jaw_open", *LIDS):
            row, direction = measure(name).vector(), self._directions[name]
            gradient = (self._model.expression_basis @ row).numpy()
            rest = float(torch.from_numpy(self._shape(identity, np.zeros(EXPRESSION_SIZE, np.float32))).flatten() @ row)
            own, alone, asked, got = (
                # summed row by row, so that the bits do not depend on how many come at once
                rest + (rows[..., EXPRESSION] * gradient).sum(-1)
                for rows in (motion, motions, motion + change, changed)
            )
            full = gradient @ direction
            least, most = (-np.inf, 0.0) if name in LIDS else (0.0, own + full)
            held = np.clip(got, np.minimum(least, np.minimum(alone, asked)), np.maximum(most, np.maximum(alone, asked)))
            changed[:, EXPRESSION] -= ((got - held) / full)[:, None] * direction
        return changed

    def blink(self, identity: Floats, motion: Floats, amount: float) -> Floats:
        """Motion (70,) with both eyes closed by `amount` (0..1)."""
        return self.apply(identity, motion, {"blink_left": amount, "blink_right": amount})

    def lip_gap(self, identity: Floats, motion: Floats) -> float:
        """How far the inner lips are apart, as a share of the face's height; below 0 where they are pressed."""
        shape = self._shape(identity, motion[EXPRESSION])
        return float((shape[14, 1] - shape[13, 1]) / (shape[152, 1] - shape[10, 1]))

    def lip_opening(self, identity: Floats) -> tuple[float, Tensor]:
        """The gap of the inner lips of the resting face, and what each expression coefficient adds (64,).

        Both in half sides of the crop, down the face; the gap is linear in expression.
        """
        rest = self._shape(identity, np.zeros(EXPRESSION_SIZE, np.float32))
        return float(rest[14, 1] - rest[13, 1]), self._model.expression_basis @ measure("jaw_open").vector()

    def _check(self, name: str, value: float) -> None:
        allowed = self.specifications.get(name)
        if allowed is None:
            raise ControlError(f"unknown control {name!r}; allowed are {', '.join(self.specifications)}")
        if not math.isfinite(value) or not allowed["minimum"] <= value <= allowed["maximum"]:
            raise ControlError(
                f"control {name} is {value}; allowed is {allowed['minimum']} to {allowed['maximum']} {allowed['unit']}"
            )

    def _apply_pose(self, result: Array, identity: Floats, values: Mapping[str, float], *, relative: bool) -> None:
        for index, name in enumerate(("yaw", "pitch", "roll"), start=ANGLES.start):
            if name in values:
                result[index] = math.radians(values[name]) + (result[index] if relative else 0.0)
        if "scale" in values:
            result[LOG_SCALE] = math.log(values["scale"]) + (result[LOG_SCALE] if relative else 0.0)
        width = self._face_width(identity) * math.exp(result[LOG_SCALE])
        for index, name, sign in ((OFFSET.start, "x", 1.0), (OFFSET.start + 1, "y", -1.0)):
            if name in values:
                result[index] = sign * values[name] * width + (result[index] if relative else 0.0)

    def _face_width(self, identity: Floats) -> float:
        shape = self._shape(identity, np.zeros(EXPRESSION_SIZE, np.float32))
        return float(shape[454, 0] - shape[234, 0])

    def _lid_openings(self, identity: Floats, motion: Floats) -> dict[str, float]:
        shape = self._shape(identity, motion[EXPRESSION])
        return {name: max(0.0, float(shape[lower, 1] - shape[upper, 1])) for name, (upper, lower) in LIDS.items()}

    def _shape(self, identity: Floats, expression: Array) -> Array:
        with torch.no_grad():
            shape = self._model.shape(
                torch.as_tensor(identity, dtype=torch.float32)[None],
                torch.as_tensor(expression, dtype=torch.float32)[None],
            )
        return shape[0].numpy()
