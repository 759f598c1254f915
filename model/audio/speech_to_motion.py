"""Speech and a portrait's own motion in, a motion sequence out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from model.arrays import Floats, Samples
from model.audio.band import SpeechBand
from model.audio.closing import closing_blocks
from model.audio.config import NetworkConfig
from model.audio.features import Level, Pieces, level, mel_blocks
from model.audio.network import NAME, SpeechNetwork
from model.audio.presence import presence_blocks
from model.audio.sampling import code_blocks, track_blocks
from model.audio.streams import shared
from model.errors import ControlError, MotionSpaceError
from model.morphable.basis import EXPRESSION, IDENTITY, MOTION, MOTION_SPACE, POSE
from model.morphable.controls import Controls
from model.weights.files import load_into, load_weights

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


DEFAULT_STYLE = SpeechStyle()


@dataclass(frozen=True)
class SpokenMotions:
    """Motions (T, 70) that come block by block, once; `frames` are those of all blocks."""

    frames: int
    blocks: Iterator[Floats]

    def __iter__(self) -> Iterator[Floats]:
        """The blocks that are still to come."""
        return self.blocks


class SpeechToMotion:
    """Turns speech into a sequence of open478 motions; made by `load`."""

    def __init__(self, network: SpeechNetwork, controls: Controls) -> None:
        self.network = network.eval()
        self.controls = controls

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """Load the released weights, or those in `directory`.

        Raises WeightsError: they are missing, damaged or of another motion space.
        """
        state, card = load_weights(NAME, directory, motion_space=MOTION_SPACE)
        network = SpeechNetwork(NetworkConfig(**card["config"]["network"]))
        load_into(network, state, NAME)
        return cls(network, Controls.load())

    def generate(
        self,
        samples: Samples,
        start: Floats,
        style: SpeechStyle = DEFAULT_STYLE,
        *,
        identity: Floats | None = None,
    ) -> Floats:
        """Motions (T, 70), T = max(1, round(N / 640)), for mono 16 kHz samples (N,): `stream` in one piece."""
        return np.concatenate(list(self.stream([samples], start, style, identity=identity)))

    def stream(
        self,
        pieces: Pieces,
        start: Floats,
        style: SpeechStyle = DEFAULT_STYLE,
        *,
        identity: Floats | None = None,
    ) -> SpokenMotions:
        """Motions (T, 70), ten seconds at a time: max(1, round(N / 640)) in all for N mono 16 kHz samples.

        The first frame is `start` (70,), the portrait's own motion; face and head return to it in silence and at the
        end. The same arguments give the same motions, bit for bit, and so does the same sound cut otherwise. Memory
        does not grow with its length.

        Args:
            pieces: sound of any loudness, a piece (n,) at a time. It is gone through twice, so no generator will do.
            start: the portrait's motion.
            style: how it is spoken.
            identity: the portrait's identity (80,), so that blinks close just its eyes; a mean face when not given.

        Raises AudioError: the sound is not one finite channel.
        Raises MotionSpaceError: start has not 70 finite numbers, or identity not 80.
        """
        start = _checked(start, MOTION, "start motion")
        identity = np.zeros(IDENTITY, np.float32) if identity is None else _checked(identity, IDENTITY, "identity")
        heard = SpeechBand(pieces)
        sound = level(heard)
        return SpokenMotions(sound.frames, self._blocks(heard, sound, start, identity, style))

    def _blocks(
        self, pieces: Pieces, sound: Level, start: Floats, identity: Floats, style: SpeechStyle
    ) -> Iterator[Floats]:
        """The motions of a `sound` whose speech is in `pieces`."""
        frames, origin, code = sound.frames, torch.from_numpy(start), self.network.code
        mean = code.speaking_mean(origin[EXPRESSION])
        start_code = (origin[EXPRESSION] - mean) @ code.encoder
        face_ease = ramp(frames, ONSET_FRAMES) * ramp(frames, END_FRAMES).flip(0)
        head_ease = ramp(frames, POSE_ONSET_FRAMES) * ramp(frames, POSE_END_FRAMES).flip(0)
        speaking = torch.cat([origin[EXPRESSION] - start_code @ code.decoder, origin[POSE]])
        parting = self._parting(identity, start, speaking)
        rest_gap, opening = self.controls.lip_opening(identity)
        jaw_open = torch.from_numpy(self._opened(identity, start))
        blink = torch.from_numpy(self.controls.blink(identity, start, 1.0) - start)
        shut = torch.from_numpy(
            self.network.blinks.generate(frames, style.blink_rate, np.random.default_rng(style.seed))
        )

        mels, heard, listened = shared(mel_blocks(pieces, sound.gain, frames), 3)
        tracks = track_blocks(self.network, mels)
        codes = code_blocks(self.network, tracks, seed=style.seed, temperature=style.temperature, start=start_code)
        first = 0
        presences, closings = presence_blocks(heard), closing_blocks(self.network, listened)
        for (expression, pose), (face_presence, head_presence), lips in zip(codes, presences, closings, strict=True):
            here = slice(first, first + len(face_presence))
            first = here.stop
            motions = origin.repeat(len(face_presence), 1)
            # what the code leaves out of the portrait's expression stays: only the difference of codes is added
            present = face_presence * face_ease[here]
            strength = style.expression_scale * present
            motions[:, EXPRESSION] += strength[:, None] * ((expression[0] - start_code) @ code.decoder + parting)
            gap = rest_gap + motions[:, EXPRESSION] @ opening
            closed = lips * present * min(style.expression_scale, 1.0) * gap.clamp(min=0)
            motions[:, EXPRESSION] -= closed[:, None] * jaw_open / (jaw_open @ opening)
            if not style.still:
                strength = style.pose_scale * head_presence * head_ease[here]
                bounded = POSE_LIMIT * torch.tanh(pose[0] / POSE_LIMIT) * code.pose_deviation
                motions[:, POSE] += strength[:, None] * bounded
            yield (motions + shut[here, None] * blink).numpy()

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


def ramp(frames: int, length: int) -> Tensor:
    """A ramp (frames,) that rises smoothly from 0 at the first frame to 1 at frame `length`."""
    share = (torch.arange(frames) / length).clamp(max=1.0)
    return share.square() * (3 - 2 * share)


def _checked(values: Floats, length: int, name: str) -> Floats:
    values = np.array(values, dtype=np.float32)
    if values.shape != (length,) or not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise MotionSpaceError(
            f"{name} of shape {values.shape} with {bad} non-finite numbers; {length} finite ones are allowed"
        )
    return values
