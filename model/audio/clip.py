"""A clip of speech: its sound and motion on one clock."""

import functools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EXPRESSION_SMOOTHING, POSE_SMOOTHING = 0.8, 1.5  # deviations in frames; landmarks tremble, heads do not

FULL_TRUST = 0.5  # a clip whose sync is this or more counts fully

SMALLEST_STYLE, LARGEST_STYLE = 0.5, 2.0


@dataclass(frozen=True)
class SpeechClip:
    """One clip of T frames, its sound and motion on the same clock."""

    id: str
    person: str
    source: str  # data set it comes from; clips of one source were recorded and cut alike
    pictures: bool  # it is of a corpus, not of a speech folder
    sync: float  # how well sound and mouth agree
    samples: Tensor  # (640 T,) at 16 kHz, brought to the loudness that all have
    mel: Tensor  # (SUBFRAMES * T, MELS)
    motion: Tensor  # (T, 70), lightly smoothed, blinks taken out
    identity: Tensor  # (80,)
    opening: Tensor  # (T,) gap between the inner lips in eye distances, from the landmarks as they are
    lids: Tensor  # (T,) how far the lids are shut, 0..1

    @property
    def frames(self) -> int:
        """T."""
        return len(self.motion)

    @property
    def trust(self) -> float:
        """How much the clip counts in training, 0..1: whether its sound is this mouth's."""
        return min(max(self.sync, 0.0), FULL_TRUST) / FULL_TRUST


def balanced(clips: Sequence[SpeechClip]) -> Tensor:
    """How often each clip (N,) is drawn in training: a source as the root of its minutes, in it a person likewise.

    So neither one data set nor one speaker with a third of the minutes is all that is learned. Minutes count by the
    clips' trust, and those of a person share that person's part.
    """
    minutes = torch.tensor([clip.trust * clip.frames for clip in clips])
    by_person = [(clip.source, clip.person) for clip in clips]
    of_person, of_source = _sums(by_person, minutes), _sums([clip.source for clip in clips], minutes)
    share = torch.where(minutes > 0, minutes / of_person.sqrt(), 0.0)
    whole = _sums([clip.source for clip in clips], share)
    return torch.where(minutes > 0, share / whole * of_source.sqrt(), 0.0)


def _sums(groups: Sequence[Hashable], values: Tensor) -> Tensor:
    """For each of values (N,) the sum of those of its group."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    places = torch.tensor([numbers[group] for group in groups])
    return torch.zeros(len(numbers)).index_add(0, places, values)[places]


def smoothed(values: Tensor, deviation: float, ahead: int | None = None) -> Tensor:
    """Values (T, D) after a Gaussian of that deviation in frames, the ends repeated; it is cut after `ahead` frames."""
    kernel, reach, after = _gaussian(deviation, ahead)
    padded = torch.nn.functional.pad(values.T[None], (reach, after), mode="replicate")
    return torch.nn.functional.conv1d(padded.transpose(0, 1), kernel[None, None])[:, 0].T


@functools.cache
def _gaussian(deviation: float, ahead: int | None) -> tuple[Tensor, int, int]:
    """A kernel (frames,) of sum 1, and how many frames it sees before and after its own."""
    reach = math.ceil(3 * deviation)
    after = reach if ahead is None else min(ahead, reach)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, after + 1) / deviation) ** 2)
    return kernel / kernel.sum(), reach, after
