"""The loudness of a sound that is still spoken: as `features.level` measures a whole one, of its last speech."""

import math
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from model.arrays import Samples
from model.audio.features import LARGEST_GAIN_DB, SAMPLES_PER_FRAME, TARGET_DB, powers_of, speech_powers

TYPICAL_DB = -26.0  # of speech at a microphone: what is taken until there was some
TYPICAL_BLOCKS = 12  # blocks of 40 ms with speech after which the measured loudness counts as much as the typical one
REMEMBERED_BLOCKS = 500  # with sound in them: 20 s, so that a pause changes nothing


class RunningLevel:
    """The factor that brings speech to its loudness, as far as it is known; it changes once in 40 ms at most."""

    def __init__(self) -> None:
        self.gain = 10 ** ((TARGET_DB - TYPICAL_DB) / 20)
        self.powers: deque[float] = deque(maxlen=REMEMBERED_BLOCKS)

    def levelled(self, pieces: Iterable[Samples]) -> Iterator[Samples]:
        """Pieces (n,) of a sound, n a divisor of a frame's samples, brought to its loudness as it is so far."""
        held: list[Samples] = []
        for piece in pieces:
            yield piece * np.float32(self.gain)
            held.append(piece)
            if len(held) * len(piece) == SAMPLES_PER_FRAME:
                self._measure(np.concatenate(held))
                held = []

    def _measure(self, block: Samples) -> None:
        """Take the next block (640,) into account."""
        if not len(heard := speech_powers(powers_of(block))):
            return
        self.powers.extend(heard)
        speech = speech_powers(np.array(self.powers))
        measured, share = 10 * math.log10(speech.mean()), len(speech) / (len(speech) + TYPICAL_BLOCKS)
        gain_db = TARGET_DB - TYPICAL_DB + share * (TYPICAL_DB - measured)
        self.gain = 10 ** (min(gain_db, LARGEST_GAIN_DB) / 20)
