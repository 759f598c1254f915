"""Windows of clips drawn at random, each clip as often as its weight says."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """A batch: where each window lies, and how much of it is clip."""

    clips: list[int]
    firsts: list[int]
    frames: int

    @classmethod
    def draw(cls, lengths: Sequence[int], weights: Tensor, *, batch: int, frames: int) -> "Windows":
        """Draw from torch's global generator; weights (clips,) need not sum to one. A clip that fits in is whole."""
        chosen = torch.multinomial(weights, batch, replacement=True).tolist()
        firsts = [int(torch.randint(max(1, lengths[i] - frames + 1), ())) for i in chosen]
        return cls(chosen, firsts, frames)

    @classmethod
    def draw_alike(cls, lengths: Sequence[int], weights: Tensor, *, total: int, frames: int, short: int) -> "Windows":
        """Windows of `total` frames together: of clips up to `short` frames long alone, or of the longer ones alone.

        So words of a second are not padded to the length of sentences. Of each kind as many frames are drawn as weights
        say.
        """
        brief = torch.tensor([length <= short for length in lengths])
        chance = (weights * brief).sum() / weights.sum()
        these, frames = (brief, short) if torch.rand(()) < chance else (~brief, frames)
        return cls.draw(lengths, weights * these, batch=max(1, total // frames), frames=frames)

    def cut(self, sequences: Sequence[Tensor], *, rate: int = 1, margin: int = 0, more: int = 0) -> Tensor:
        """Windows (B, rate * (frames + 2 margin) + 2 more, ...) of sequences (rate * T, ...), zeros beyond their ends.

        They begin `margin` frames and `more` rows earlier, and end so much later.
        """
        return torch.stack(
            [
                cut(sequences[i], rate * (first - margin) - more, rate * (self.frames + 2 * margin) + 2 * more)
                for i, first in zip(self.clips, self.firsts, strict=True)
            ]
        )

    def inside(self, lengths: Sequence[int]) -> Tensor:
        """(B, frames) of 1 where the window is within its clip, else 0."""
        ends = torch.tensor([lengths[number] for number in self.clips])[:, None]
        return ((self.places >= 0) & (self.places < ends)).float()

    @property
    def places(self) -> Tensor:
        """Which frame of its clip each frame of a window is (B, frames); before a clip's first one below 0."""
        return torch.tensor(self.firsts)[:, None] + torch.arange(self.frames)


def cut(sequence: Tensor, first: int, length: int) -> Tensor:
    """Rows [first, first + length) of sequence (N, ...), zeros beyond its ends."""
    before, after = max(0, -first), max(0, first + length - len(sequence))
    inside = sequence[max(first, 0) : max(first + length, 0)]
    return F.pad(inside, (0, 0) * (sequence.ndim - 1) + (before, after))
