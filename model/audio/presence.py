"""Where there is speech in a sound: the face rests in its pauses, and the head in the long ones.

Speech is loud, and its spectrum changes all the time: lips and tongue that move are what makes it speech. What is loud
and keeps its spectrum, as noise, hum, a fan, applause or an organ, moves no face, however its loudness changes.
"""

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
BANDS = 16  # coarse ones, in which the spectrum's change is measured
# Deviation of the spectrum's shape, in log-mel, at which a sound is half taken for speech. Of people who speak it is
# over 0.13 at nearly all times; steady noises have 0.03 to 0.07, applause 0.09, plucked chords 0.15, the rest of music
# more, and speech in pink noise as loud as itself 0.10 to 0.14.
SPEECH_CHANGE, CHANGE_SOFTNESS = 0.10, 0.005
WINDOW = 25  # frames on either side over which it is measured
HOLD = 25  # frames on either side to which it reaches, so that a vowel may be held for four seconds
# How far presence reaches around speech, so that short pauses are no rests, and the deviation of its smoothing; frames.
FACE = (7, 2.5)
HEAD = (20, 7.0)  # nobody's head comes to rest between two sentences
REACH = HEAD[0] + math.ceil(3 * HEAD[1])
# Where no more is known than these frames after a frame: of them presence reaches around speech and its smoothing sees
# EARLY each, the rest tells whether there is speech.
EARLY_AHEAD, EARLY = 15, 3


def presence_blocks(mels: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """The presence of speech for face and head (T,), 0..1 and smooth, of each block of mel (4 T, MELS)."""
    for around, inside in neighbourhoods(_speech(mels, WINDOW + HOLD), REACH):
        face, head = (_widened(around, reach, reach, deviation)[inside] for reach, deviation in (FACE, HEAD))
        yield face, head


def early_presence_blocks(mels: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """As `presence_blocks`, from EARLY_AHEAD frames after a frame and not from three seconds.

    It bridges pauses that are as long. So it comes later before speech, and stays longer after it.
    """
    for around, inside in neighbourhoods(_speech(mels, EARLY_AHEAD - 2 * EARLY), REACH + HEAD[0], 2 * EARLY):
        face, head = (
            _widened(around, 2 * reach - EARLY, EARLY, deviation, EARLY)[inside] for reach, deviation in (FACE, HEAD)
        )
        yield face, head


def _speech(mels: Iterable[Tensor], ahead: int) -> Iterator[Tensor]:
    """How much each frame (T,) of blocks of mel is speech, 0..1, as told from `ahead` frames after it."""
    for around, inside in neighbourhoods(map(_loudness_and_shape, mels), WINDOW + HOLD, ahead):
        loud = torch.sigmoid((around[:, 0] - SPEECH_LEVEL) / SPEECH_SOFTNESS)
        change = _dilated(_change(around[:, 2:], loud_throughout=around[:, 1]), HOLD, HOLD)
        yield (loud * torch.sigmoid((change - SPEECH_CHANGE) / CHANGE_SOFTNESS))[inside]


def _loudness_and_shape(mel: Tensor) -> Tensor:
    """Rows (T, 2 + BANDS): loudness of a frame's loudest sub-frame and of its faintest, and its spectrum's shape."""
    loudness = mel.reshape(-1, SUBFRAMES, MELS)[..., :VOICE_BANDS].mean(dim=2)
    bands = mel.reshape(-1, SUBFRAMES, BANDS, MELS // BANDS).mean(dim=(1, 3))
    shape = bands - bands.mean(dim=1, keepdim=True)
    return torch.cat([loudness.amax(dim=1)[:, None], loudness.amin(dim=1)[:, None], shape], dim=1)


def _change(shape: Tensor, *, loud_throughout: Tensor) -> Tensor:
    """The deviation (T,) of shapes (T, BANDS) around each frame, a mean over bands.

    Frames that are silent in part do not count: a click, or noise that sets in, is no change.
    """
    weight = torch.sigmoid((loud_throughout - SPEECH_LEVEL) / SPEECH_SOFTNESS)[:, None]
    rows = torch.cat([weight, weight * shape, weight * shape.square()], dim=1)
    sums = F.avg_pool1d(rows.T[None], 2 * WINDOW + 1, stride=1, padding=WINDOW)[0]
    mean, square = (sums[1:] / sums[:1].clamp(min=1e-3)).split(BANDS)
    return (square - mean.square()).clamp(min=0).sqrt().mean(dim=0)


def _dilated(values: Tensor, before: int, after: int) -> Tensor:
    """The largest of values (T,), 0 and more, from `before` frames before to `after` frames after each."""
    return F.max_pool1d(F.pad(values[None, None], (before, after)), before + after + 1, stride=1)[0, 0]


def _widened(present: Tensor, before: int, after: int, deviation: float, ahead: int | None = None) -> Tensor:
    return smoothed(_dilated(present, before, after)[:, None], deviation, ahead)[:, 0]
