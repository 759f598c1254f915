"""Speech to motion while it is spoken: what is known of a sound so far becomes motions, frame by frame.

It is what `SpeechToMotion.stream` does with a whole sound, from the past and the look-ahead of its networks: the level
is that of the last speech, and presence is told earlier.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, repeat

import numpy as np
import torch

from model.arrays import Floats, Samples
from model.audio.band import SpeechBand
from model.audio.features import SAMPLES_PER_FRAME, checked_samples, frame_count, levelled_mel_blocks
from model.audio.network import SpeechNetwork
from model.audio.presence import EARLY_AHEAD, early_presence_blocks
from model.audio.quick_hearing import quick_closures, quick_sounds
from model.audio.running_level import RunningLevel
from model.audio.streams import shared
from model.audio.utterance import POSE_END_FRAMES, SpeechStyle, Utterance
from model.morphable.basis import MOTION, MOTION_FPS
from model.morphable.controls import Controls

PIECE = 128  # samples that are filtered at once; what the filter and the features see ahead is a frame then
SMOOTHING_AHEAD = 2  # frames; what a Gaussian of the lips' deviation has beyond is a thousandth


class LiveSpeech:
    """The motions of a sound that is heard piece by piece; made by `SpeechToMotion.live`.

    The first motion is the portrait's own. How the sound is cut changes no bit of them, and memory does not grow with
    its length.
    """

    def __init__(
        self, network: SpeechNetwork, controls: Controls, start: Floats, style: SpeechStyle, identity: Floats | None
    ) -> None:
        self.network, self.controls = network, controls
        self.start, self.style, self.identity = start, style, identity
        networks_ahead = max(network.regressors.ahead, network.closures.ahead)
        self.ahead = max(networks_ahead + SMOOTHING_AHEAD, EARLY_AHEAD)  # frames of sound that a motion hangs on
        self.level = RunningLevel()
        self._begin()

    @property
    def latency_s(self) -> float:
        """Seconds of sound that are heard after a motion's time before it comes."""
        return (self.ahead + 2) / MOTION_FPS

    @torch.no_grad()
    def hear(self, samples: Samples) -> Floats:
        """Any number of mono 16 kHz samples (n,) -> the motions (T, 70) that are known now, 25 a second, T may be 0.

        Raises AudioError: they are of another shape or not finite; then nothing of them is heard.
        """
        self._take(checked_samples(samples))
        return self._known(self.samples // SAMPLES_PER_FRAME - self.ahead - 1)

    @torch.no_grad()
    def rest(self) -> Floats:
        """The sound has stopped -> the motions (T, 70) of what was said last and of the way back to `start`.

        What is heard afterwards is a new sound at the same microphone.
        """
        if not self.samples:
            return np.empty((0, MOTION), np.float32)
        frames = frame_count(self.samples) + POSE_END_FRAMES
        self.utterance.frames = frames
        self.utterance.blinks = iter(_over(np.fromiter(islice(self.utterance.blinks, frames - self.made), np.float32)))
        after = SAMPLES_PER_FRAME * (frames + self.ahead + 1) - self.samples
        self._take(np.repeat(self.last, after))
        motions = self._known(frames)
        self._begin()
        return motions

    def _begin(self) -> None:
        """Be ready for a sound. Each is said otherwise."""
        self.heard: deque[Samples] = deque()
        self.samples = self.made = 0  # heard, and motions made of them
        self.last = np.zeros(1, np.float32)
        self.utterance = Utterance(self.network, self.controls, self.start, self.style, self.identity)
        self.motions = self._motions(self.utterance)
        self.style = replace(self.style, seed=self.style.seed + 1)

    def _motions(self, utterance: Utterance) -> Iterator[Floats]:
        """The motions (1, 70) of what is heard; more must not be asked for than is known."""
        pieces = SpeechBand((self.heard.popleft() for _ in repeat(None)), PIECE)
        mels, told, listened = shared(levelled_mel_blocks(self.level.levelled(pieces), repeat(1)), 3)
        return utterance.motions(
            quick_sounds(self.network, mels),
            quick_closures(self.network, listened),
            early_presence_blocks(told),
            ahead=SMOOTHING_AHEAD,
        )

    def _take(self, samples: Samples) -> None:
        if len(samples):
            kept = samples.copy()  # whose memory may be used again
            self.heard.append(kept)
            self.samples, self.last = self.samples + len(kept), kept[-1:]

    def _known(self, frames: int) -> Floats:
        """The motions (T, 70) up to frame `frames` that were not made yet."""
        motions = list(islice(self.motions, max(0, frames - self.made)))
        self.made += len(motions)
        return np.concatenate([np.empty((0, MOTION), np.float32), *motions])


def _over(closures: Floats) -> Floats:
    """Closures of the lids (T,) without the blink that is not over at their end."""
    kept = closures.copy()
    kept[max(np.flatnonzero(closures == 0), default=-1) + 1 :] = 0
    return kept
