"""A clip of speech: its sound and motion on one clock."""

import math
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
    sync: float  # how well sound and mouth agree
    mel: Tensor  # (SUBFRAMES * T, MELS)
    motion: Tensor  # (T, 70), lightly smoothed, blinks taken out
    identity: Tensor  # (80,)
    opening: Tensor  # (T,) gap between the inner lips in eye distances, from the landmarks as they are
    closure: Tensor  # (T,) how far the lids are shut, 0..1

    @property
    def frames(self) -> int:
        """T."""
        return len(self.motion)

    @property
    def trust(self) -> float:
        """How much the clip counts in training, 0..1: whether its sound is this mouth's."""
        return min(max(self.sync, 0.0), FULL_TRUST) / FULL_TRUST


def smoothed(values: Tensor, deviation: float) -> Tensor:
    """Values (T, D) after a Gaussian of that deviation in frames, the ends repeated."""
    reach = math.ceil(3 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    padded = torch.nn.functional.pad(values.T[None], (reach, reach), mode="replicate")
    return torch.nn.functional.conv1d(padded.transpose(0, 1), (kernel / kernel.sum())[None, None])[:, 0].T
