"""Speech and a portrait's own motion in, a motion sequence out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from model.arrays import Floats, Samples
from model.audio.band import SpeechBand
from model.audio.config import NetworkConfig
from model.audio.features import Pieces, level, mel_blocks
from model.audio.hearing import closure_blocks, sounds, track_blocks
from model.audio.live import LiveSpeech
from model.audio.network import NAME, SpeechNetwork
from model.audio.presence import presence_blocks
from model.audio.streams import shared
from model.audio.utterance import SpeechStyle, Utterance
from model.morphable.basis import MOTION_SPACE
from model.morphable.controls import Controls
from model.weights.files import load_into, load_weights

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
        utterance = Utterance(self.network, self.controls, start, style, identity)
        heard = SpeechBand(pieces)
        sound = level(heard)
        utterance.frames = sound.frames
        mels, told, listened = shared(mel_blocks(heard, sound.gain, sound.frames), 3)
        blocks = utterance.motions(
            sounds(self.network, track_blocks(self.network, mels)),
            closure_blocks(self.network, listened),
            presence_blocks(told),
        )
        return SpokenMotions(sound.frames, blocks)

    def live(self, start: Floats, style: SpeechStyle = DEFAULT_STYLE, *, identity: Floats | None = None) -> LiveSpeech:
        """What turns a sound into motions while it is spoken; the arguments are those of `stream`.

        Raises MotionSpaceError: as `stream`.
        """
        return LiveSpeech(self.network, self.controls, start, style, identity)
