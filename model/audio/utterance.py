"""One sound as one portrait says it: from what is heard to motions."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from model.arrays import Floats
from model.audio.closing import closing_blocks
from model.audio.hearing import Sound
from model.audio.network import SpeechNetwork
from model.audio.sampling import code_blocks
from model.errors import ControlError, MotionSpaceError
from model.morphable.basis import EXPRESSION, IDENTITY, MOTION, POSE
from model.morphable.controls import Controls

ONSET_FRAMES, END_FRAMES = 6, 8  # in which the face leaves the portrait's own and comes back to it
POSE_ONSET_FRAMES, POSE_END_FRAMES = 12, 20  # a head is slower
# Mean gap between speaking lips, as a share of the face's height: that of people in training who ever close their lips.
# A photo's closed lips say little of how far they part in speech, and lips that rest closed would speak through them.
SMALLEST_MEAN_GAP = 0.034
POSE_LIMIT = 3.0  # in deviations of people's head pose while they speak


@dataclass(frozen=True)
class SpeechStyle:
    """How a portrait speaks.

    seed: chooses among the many motions that fit. temperature: spread of that choice: 0 is the likeliest motion, 1 as
    varied as people are. expression_scale and pose_scale: strength of lips and face, and of the head's movement.
    blink_rate: blinks a minute; None: people's own rate, 0: none. still: the head rests; lips and lids go on.
    Raises ControlError: a scale, rate or temperature is negative or not finite.
    """

    seed: int = 0
    temperature: float = 0.7
    expression_scale: float = 1.0
    pose_scale: float = 1.0
    blink_rate: float | None = None
    still: bool = False

    def __post_init__(self) -> None:
        for name in ("temperature", "expression_scale", "pose_scale", "blink_rate"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ControlError(f"{name} is {value}; a finite number of 0 or more is allowed")


class Utterance:
    """How a portrait says a sound.

    frames: those of the motion; None while nobody knows them, to be set before the last 20 are made. blinks: how far
    lids are closed in each frame that is to be made, 0..1.
    Raises MotionSpaceError: start has not 70 finite numbers, or identity not 80.
    """

    def __init__(
        self, network: SpeechNetwork, controls: Controls, start: Floats, style: SpeechStyle, identity: Floats | None
    ) -> None:
        start = _checked(start, MOTION, "start motion")
        identity = np.zeros(IDENTITY, np.float32) if identity is None else _checked(identity, IDENTITY, "identity")
        self.network, self.code, self.controls, self.style = network, network.code, controls, style
        self.frames: int | None = None
        self.origin = origin = torch.from_numpy(start)
        mean = self.code.speaking_mean(origin[EXPRESSION])
        self.start_code = (origin[EXPRESSION] - mean) @ self.code.encoder
        speaking = torch.cat([origin[EXPRESSION] - self.start_code @ self.code.decoder, origin[POSE]])
        self.parting = self._parting(identity, start, speaking)
        self.rest_gap, self.opening = controls.lip_opening(identity)
        self.jaw_open = torch.from_numpy(self._opened(identity, start))
        self.blink = torch.from_numpy(controls.blink(identity, start, 1.0) - start)
        self.blinks = network.blinks.closures(style.blink_rate, np.random.default_rng(style.seed))

    def motions(
        self,
        heard: Iterable[Sound],
        closures: Iterable[Tensor],
        presences: Iterable[tuple[Tensor, Tensor]],
        *,
        ahead: int | None = None,
    ) -> Iterator[Floats]:
        """The motions (T, 70) of each block of what is heard, of how likely closures are, and of presences.

        `ahead`: frames after a frame that its smoothing may see, all that it needs when None.
        """
        seed, temperature = self.style.seed, self.style.temperature
        codes = code_blocks(self.network, heard, seed=seed, temperature=temperature, start=self.start_code, ahead=ahead)
        closings = closing_blocks(closures, ahead)
        first = 0
        for (expression, pose), (face_presence, head_presence), lips in zip(codes, presences, closings, strict=True):
            here = torch.arange(first, first + len(lips))
            first += len(lips)
            motions = self.origin.repeat(len(lips), 1)
            # what the code leaves out of the portrait's expression stays: only the difference of codes is added
            present = face_presence * self._ease(here, ONSET_FRAMES, END_FRAMES)
            strength = self.style.expression_scale * present
            spoken = (expression[0] - self.start_code) @ self.code.decoder + self.parting
            motions[:, EXPRESSION] += strength[:, None] * spoken
            gap = self.rest_gap + motions[:, EXPRESSION] @ self.opening
            closed = lips * present * min(self.style.expression_scale, 1.0) * gap.clamp(min=0)
            motions[:, EXPRESSION] -= closed[:, None] * self.jaw_open / (self.jaw_open @ self.opening)
            if not self.style.still:
                strength = self.style.pose_scale * head_presence * self._ease(here, POSE_ONSET_FRAMES, POSE_END_FRAMES)
                bounded = POSE_LIMIT * torch.tanh(pose[0] / POSE_LIMIT) * self.code.pose_deviation
                motions[:, POSE] += strength[:, None] * bounded
            shut = torch.tensor(list(islice(self.blinks, len(lips))))
            yield (motions + shut[:, None] * self.blink).numpy()

    def _ease(self, here: Tensor, onset: int, end: int) -> Tensor:
        """How much frames (T,) of these numbers may leave the portrait's own motion, 0..1."""
        eased = ramp(here, onset)
        return eased if self.frames is None else eased * ramp(self.frames - 1 - here, end)

    def _parting(self, identity: Floats, start: Floats, mean: Tensor) -> Tensor:
        """What to add to the `mean` motion (70,) of a speaking portrait for its lips to be apart: expression (64,)."""
        missing = SMALLEST_MEAN_GAP - self.controls.lip_gap(identity, mean.numpy())
        opened = start.copy()
        opened[EXPRESSION] += self._opened(identity, start)
        gained = self.controls.lip_gap(identity, opened) - self.controls.lip_gap(identity, start)
        return torch.from_numpy(opened - start)[EXPRESSION] * max(missing, 0.0) / gained

    def _opened(self, identity: Floats, start: Floats) -> Floats:
        """What an open jaw adds to expression (64,)."""
        return (self.controls.apply(identity, start, {"jaw_open": 1.0}) - start)[EXPRESSION]


def ramp(frames: Tensor, length: int) -> Tensor:
    """A ramp (T,) over `frames` (T,) that rises smoothly from 0 at frame 0 to 1 at frame `length`."""
    share = (frames / length).clamp(0, 1)
    return share.square() * (3 - 2 * share)


def _checked(values: Floats, length: int, name: str) -> Floats:
    values = np.array(values, dtype=np.float32)
    if values.shape != (length,) or not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise MotionSpaceError(
            f"{name} of shape {values.shape} with {bad} non-finite numbers; {length} finite ones are allowed"
        )
    return values
