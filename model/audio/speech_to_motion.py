"""Speech and a portrait's own motion in, a motion sequence out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.audio.clips import smoothed
from model.audio.config import NetworkConfig
from model.audio.features import SUBFRAMES, log_mel
from model.audio.network import NAME, SpeechNetwork
from model.audio.sampling import sample_codes, sound_track
from model.errors import ControlError, MotionSpaceError, WeightsError
from model.morphable.basis import EXPRESSION, IDENTITY, MOTION, MOTION_SPACE
from model.morphable.controls import Controls
from model.weights.files import load_into, load_weights

SPEECH_LEVEL, SPEECH_SOFTNESS = 0.45, 0.06  # log-mel over the voice's bands at which a sound is half taken for speech
VOICE_BANDS = 40  # mel bands up to about 3 kHz
BRIDGED_FRAMES = 7  # presence reaches this far around speech, so that short pauses are no rests
PRESENCE_SMOOTHING = 2.5  # deviation in frames
ONSET_FRAMES, END_FRAMES, POSE_ONSET_FRAMES = 6, 8, 12
POSE_LIMIT = 3.0  # in deviations of people's head pose while they speak


class SpeechToMotion:
    """Turns speech into a sequence of open478 motions; made by `load`."""

    def __init__(self, network: SpeechNetwork, controls: Controls) -> None:
        self.network = network.eval()
        self.controls = controls

    @classmethod
    def load(cls, directory: Path | None = None) -> SpeechToMotion:
        """Load the released weights, or those in `directory`.

        Raises:
            WeightsError: they are missing, damaged or of another motion space.
        """
        state, card = load_weights(NAME, directory)
        if card.get("motion_space") != MOTION_SPACE:
            raise WeightsError(f"{NAME} is of motion space {card.get('motion_space')!r}; {MOTION_SPACE!r} is allowed")
        network = SpeechNetwork(NetworkConfig(**card["config"]["network"]))
        load_into(network, state, NAME)
        return cls(network, Controls.load())

    def generate(
        self,
        samples: NDArray[np.float32],
        start: NDArray[np.float32],
        *,
        identity: NDArray[np.float32] | None = None,
        seed: int = 0,
        temperature: float = 0.7,
        expression_scale: float = 1.0,
        pose_scale: float = 1.0,
        blink: float = 1.0,
        still: bool = False,
    ) -> NDArray[np.float32]:
        """Return motions (T, 70), T = max(1, round(N / 640)), for mono 16 kHz samples (N,).

        The first frame is `start` (70,), the portrait's own motion; lips and face return to it in silence and at the
        end, while the head sways about it. The same arguments give the same motions, bit for bit.

        Args:
            samples: sound of any loudness.
            start: the portrait's motion.
            identity: the portrait's identity (80,), so that blinks close just its eyes; a mean face when not given.
            seed: chooses among the many motions that fit.
            temperature: spread of that choice: 0 is the likeliest motion, 1 as varied as people are.
            expression_scale: strength of lips and face.
            pose_scale: strength of the head's movement.
            blink: rate of blinks, 1 being people's; 0 for none.
            still: the head rests; lips and lids go on.

        Raises:
            AudioError: samples are not one finite channel.
            MotionSpaceError: start has not 70 finite numbers.
            ControlError: a scale, rate or temperature is negative or not finite.
        """
        start = _checked(start, MOTION, "start motion")
        identity = np.zeros(IDENTITY, np.float32) if identity is None else _checked(identity, IDENTITY, "identity")
        settings = {
            "temperature": temperature,
            "expression_scale": expression_scale,
            "pose_scale": pose_scale,
            "blink": blink,
        }
        for name, value in settings.items():
            if not (math.isfinite(value) and value >= 0):
                raise ControlError(f"{name} is {value}; a finite number of 0 or more is allowed")

        mel = log_mel(samples)
        frames = len(mel) // SUBFRAMES
        track = sound_track(self.network, mel)
        origin, code = torch.from_numpy(start), self.network.code
        mean = code.speaking_mean(origin[:EXPRESSION])
        start_code = (origin[:EXPRESSION] - mean) @ code.encoder
        expression, pose = sample_codes(self.network, track, seed=seed, temperature=temperature, start=start_code)

        motions = origin.repeat(frames, 1)
        # what the code leaves out of the portrait's expression stays as it is: only the difference of codes is added
        presence = speech_presence(mel) * ramp(frames, ONSET_FRAMES) * ramp(frames, END_FRAMES).flip(0)
        motions[:, :EXPRESSION] += expression_scale * presence[:, None] * ((expression[0] - start_code) @ code.decoder)
        if not still:
            bounded = POSE_LIMIT * torch.tanh(pose[0] / POSE_LIMIT) * code.pose_deviation
            motions[:, EXPRESSION:] += pose_scale * ramp(frames, POSE_ONSET_FRAMES)[:, None] * bounded
        closing = torch.from_numpy(self.controls.blink(identity, start, 1.0) - start)
        closure = self.network.blinks.generate(frames, blink, np.random.default_rng(seed))
        motions += torch.from_numpy(closure)[:, None] * closing
        return motions.numpy()


def speech_presence(mel: Tensor) -> Tensor:
    """Return where there is speech (T,), 0..1 and smooth, in mel (4 T, MELS); pauses under half a second count too."""
    level = mel[:, :VOICE_BANDS].mean(dim=1).reshape(-1, SUBFRAMES).amax(dim=1)
    present = torch.sigmoid((level - SPEECH_LEVEL) / SPEECH_SOFTNESS)
    wide = F.max_pool1d(present[None, None], 2 * BRIDGED_FRAMES + 1, stride=1, padding=BRIDGED_FRAMES)[0, 0]
    return smoothed(wide[:, None], PRESENCE_SMOOTHING)[:, 0]


def ramp(frames: int, length: int) -> Tensor:
    """Return (frames,) that rises smoothly from 0 at the first frame to 1 at frame `length`."""
    share = (torch.arange(frames) / length).clamp(max=1.0)
    return share.square() * (3 - 2 * share)


def _checked(values: NDArray[np.float32], length: int, name: str) -> NDArray[np.float32]:
    values = np.array(values, dtype=np.float32)
    if values.shape != (length,) or not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise MotionSpaceError(
            f"{name} of shape {values.shape} with {bad} non-finite numbers; {length} finite ones are allowed"
        )
    return values
