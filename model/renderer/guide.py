"""What the morphable model tells a guided renderer of a frame before any network sees it.

The prior (`model.renderer.prior`) makes it, engines hand it on, and both networks read it. It travels as one tensor, so
that batches, graphs and devices need to know nothing of its parts.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

DOUBTS = ("stretched", "mirrored", "absent", "uncovered", "seam")
"""Why a pixel that was read by the prior's flow may be wrong, each 0 (sure) to 1: the maps of doubt, in this order.

stretched: few pixels of the portrait are spread over many. mirrored: taken from the other side of the face. absent: not
in the portrait, beyond its edges or between lips that it kept closed. uncovered: bare wall where a head was before.
seam: neighbours read far apart.
"""

CHANNELS = 2 + 3 + 1 + len(DOUBTS)


@dataclass(frozen=True)
class Guide:
    """The parts of a prior (B, CHANNELS, S, S) of B frames; they share its memory."""

    prior: Tensor

    @classmethod
    def made(cls, *, flow: Tensor, completion: Tensor, completed: Tensor, doubt: Tensor) -> Self:
        """Of parts with the shapes below."""
        return cls(torch.cat((flow, completion, completed, doubt), dim=1))

    @classmethod
    def plain(cls, flow: Tensor) -> Self:
        """A flow (B, 2, S, S) that nothing completes and nobody doubts."""
        batch, channels, height, width = flow.shape
        return cls(torch.cat((flow, flow.new_zeros(batch, CHANNELS - channels, height, width)), dim=1))

    @property
    def flow(self) -> Tensor:
        """Where the portrait is read, as an offset in pixels, x then y: (B, 2, S, S)."""
        return self.prior[:, :2]

    @property
    def completion(self) -> Tensor:
        """What is put in place of what the portrait does not show, times `completed`: (B, 3, S, S) in [-1, 1]."""
        return self.prior[:, 2:5]

    @property
    def completed(self) -> Tensor:
        """How far that is done, 0..1: (B, 1, S, S)."""
        return self.prior[:, 5:6]

    @property
    def doubt(self) -> Tensor:
        """See DOUBTS: (B, 5, S, S)."""
        return self.prior[:, 6:]

    @property
    def doubtful(self) -> Tensor:
        """All doubts in one (B, 1, S, S): the chance that any holds if each were one, and independent."""
        return 1 - (1 - self.doubt).prod(dim=1, keepdim=True)

    def complete(self, read: Tensor) -> Tensor:
        """What was read of the portrait (B, 3, S, S), completed: (1 - completed) * read + completion."""
        return torch.addcmul(self.completion, read, 1 - self.completed).to(read.dtype)
