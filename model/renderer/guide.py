"""What the morphable model tells a guided renderer of a frame before any network sees it.

The prior (`model.renderer.prior`) makes it, engines hand it on, and both networks read it. It travels as one tensor, so
that batches, graphs and devices need to know nothing of its parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DOUBTS = ("stretched", "mirrored", "unseen", "uncovered", "seam")
"""Why a pixel that was read by the prior's flow may be wrong, each 0 (sure) to 1: the maps of doubt, in this order.

stretched: few pixels of the portrait are spread over many. mirrored: read on the other side of the face. unseen: hidden
in the portrait, or outside of it. uncovered: bare wall where a head was before. seam: neighbours read far apart.
"""

CHANNELS = 2 + 3 + 1 + len(DOUBTS)


@dataclass(frozen=True)
class Guide:
    """Of B frames of S x S pixels.

    flow (B, 2, S, S): where the portrait is read, as an offset in pixels, x then y.
    completion (B, 3, S, S) in [-1, 1] and completed (B, 1, S, S), 0..1: what is put in place of what the portrait does
    not show, and how far; completion is weighted already, what is read becomes (1 - completed) * read + completion.
    doubt (B, 5, S, S): see DOUBTS.
    """

    flow: Tensor
    completion: Tensor
    completed: Tensor
    doubt: Tensor

    @classmethod
    def of(cls, prior: Tensor) -> Guide:
        """The parts of a prior (B, CHANNELS, S, S)."""
        return cls(prior[:, :2], prior[:, 2:5], prior[:, 5:6], prior[:, 6:])

    @property
    def stacked(self) -> Tensor:
        """All of it as one prior (B, CHANNELS, S, S)."""
        return torch.cat((self.flow, self.completion, self.completed, self.doubt), dim=1)

    @property
    def doubtful(self) -> Tensor:
        """All doubts in one (B, 1, S, S): the chance that any holds if each were one, and independent."""
        return 1 - (1 - self.doubt).prod(dim=1, keepdim=True)

    def complete(self, read: Tensor) -> Tensor:
        """What was read of the portrait (B, 3, S, S), completed."""
        return torch.addcmul(self.completion, read, 1 - self.completed).to(read.dtype)


def plain_guide(flow: Tensor) -> Guide:
    """A flow (B, 2, S, S) that nothing completes and nobody doubts."""
    batch, _, height, width = flow.shape
    return Guide(
        flow,
        flow.new_zeros(batch, 3, height, width),
        flow.new_zeros(batch, 1, height, width),
        flow.new_zeros(batch, len(DOUBTS), height, width),
    )
