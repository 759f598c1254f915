"""How far a head can be turned and still be drawn: a portrait shows one side of it, and the other is made up.

Beyond that a turn is reduced. Near the end it bends, so that a head in a video slows down instead of stopping dead.
Yaw and pitch have an end of their own each; roll hides nothing and has none.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.arrays import Doubles, Floats
from model.morphable.basis import ANGLES

# All in degrees. docs/api.md and docs/controls.md tell them.
MOST_TURN = 40.0  # of yaw, from the portrait's own
FURTHEST_YAW = 45.0  # from facing the camera
MOST_NOD = 25.0  # of pitch, from the portrait's own
FURTHEST_PITCH = 35.0  # from facing the camera
BEND = 5.0  # before the end; what is asked up to there is left as it is
NOTICED = 0.5  # what is taken away beyond this counts as reduced

_TURNED = slice(ANGLES.start, ANGLES.start + 2)  # yaw and pitch in a motion
_LEAST_BEND = 1e-9  # degrees; what one of none is divided by


@dataclass(frozen=True)
class Reach:
    """The least and the most yaw and pitch that a portrait can be drawn at, in degrees from facing the camera."""

    yaw: tuple[float, float]
    pitch: tuple[float, float]

    @classmethod
    def of(cls, own: Floats) -> Self:
        """That of a portrait whose own motion is `own` (70,): its own pose is always in it."""
        yaw, pitch = _degrees(own[_TURNED])
        return cls(_range(yaw, MOST_TURN, FURTHEST_YAW), _range(pitch, MOST_NOD, FURTHEST_PITCH))


def within_reach(own: Floats, motions: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Motions (T, 70), in radians, turned no further than a portrait with the motion `own` (70,) allows.

    Both are of the space open478. Also tells which were noticeably reduced (T,). What ends `BEND` or more before the
    reach does stays bit for bit.
    """
    reach = Reach.of(own)
    least, most = np.array([reach.yaw, reach.pitch]).T
    start, asked = _degrees(own[_TURNED]), _degrees(motions[:, _TURNED])
    excess = _excess(asked, start, most) - _excess(-asked, -start, -least)
    reached = motions.copy()
    reached[:, _TURNED] = np.where(excess == 0, motions[:, _TURNED], np.radians(asked - excess))
    return reached, np.any(np.abs(excess) > NOTICED, axis=1)


def _range(own: float, most: float, furthest: float) -> tuple[float, float]:
    """Least and most of an angle: up to `most` from `own` and within +-`furthest`, or `own` if that is beyond."""
    return min(own, max(own - most, -furthest)), max(own, min(own + most, furthest))


def _excess(asked: Doubles, own: Doubles, most: Doubles) -> Doubles:
    """What is to be taken from angles (T, 2), so that they approach `most` (2,), and leave `own` (2,) as it is.

    Slope and curvature go on at the knee. The nearer `own` is to `most`, the shorter is the bend.
    """
    knee = np.maximum(own, most - BEND)
    bend = most - knee
    beyond = np.maximum(asked - knee, 0.0)
    return beyond - bend * np.tanh(beyond / np.maximum(bend, _LEAST_BEND))


def _degrees(radians: Floats) -> Doubles:
    return np.degrees(radians.astype(np.float64))
