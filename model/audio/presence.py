"""Where there is speech in a sound: the face rests in its pauses, and the head in the long ones."""

import math
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from model.audio.clip import smoothed
from model.audio.features import MELS, SUBFRAMES
from model.audio.streams import neighbourhoods

SPEECH_LEVEL, SPEECH_SOFTNESS = 0.45, 0.06  # log-mel over the voice's bands at which a sound is half taken for speech
VOICE_BANDS = 40  # mel bands up to about 3 kHz
# How far presence reaches around speech, so that short pauses are no rests, and the deviation of its smoothing; frames.
FACE = (7, 2.5)
HEAD = (20, 7.0)  # nobody's head comes to rest between two sentences
REACH = HEAD[0] + math.ceil(3 * HEAD[1])


def presence_blocks(mels: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """The presence of speech for face and head (T,), 0..1 and smooth, of each block of mel (4 T, MELS)."""
    for around, inside in neighbourhoods(map(_speech, mels), REACH):
        face, head = (_widened(around, *shape)[inside] for shape in (FACE, HEAD))
        yield face, head


def _speech(mel: Tensor) -> Tensor:
    level = mel.reshape(-1, SUBFRAMES, MELS)[..., :VOICE_BANDS].mean(dim=2).amax(dim=1)
    return torch.sigmoid((level - SPEECH_LEVEL) / SPEECH_SOFTNESS)


def _widened(present: Tensor, reach: int, deviation: float) -> Tensor:
    wide = F.max_pool1d(present[None, None], 2 * reach + 1, stride=1, padding=reach)[0, 0]
    return smoothed(wide[:, None], deviation)[:, 0]
