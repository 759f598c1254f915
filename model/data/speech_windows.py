"""Windows of clips drawn at random, each clip as often as its length and its trust say."""

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
        """Draw from torch's global generator; weights (clips,) need not sum to one."""
        chosen = torch.multinomial(weights, batch, replacement=True).tolist()
        firsts = [int(torch.randint(max(1, lengths[i] - frames + 1), ())) for i in chosen]
        return cls(chosen, firsts, frames)

    def cut(self, sequences: Sequence[Tensor], *, rate: int = 1, margin: int = 0) -> Tensor:
        """Windows (B, rate * (frames + 2 margin), ...) of sequences (rate * T, ...), zeros beyond their ends."""
        return torch.stack(
            [
                cut(sequences[i], rate * (first - margin), rate * (self.frames + 2 * margin))
                for i, first in zip(self.clips, self.firsts, strict=True)
            ]
        )

    def inside(self, lengths: Sequence[int]) -> Tensor:
        """(B, frames) of 1 where the window is within its clip, else 0."""
        return self.cut([torch.ones(length) for length in lengths])


def cut(sequence: Tensor, first: int, length: int) -> Tensor:
    """Rows [first, first + length) of sequence (N, ...), zeros beyond its ends."""
    before, after = max(0, -first), max(0, first + length - len(sequence))
    inside = sequence[max(first, 0) : max(first + length, 0)]
    return F.pad(inside, (0, 0) * (sequence.ndim - 1) + (before, after))
