"""Lips that close for p, b and m, and nearly for f and v, as surely as these are heard.

The expected motion of a regression closes lips by halves: it is a mean over all that may have been said. A closure is
what people see most surely, so that it is heard for by itself (`SpeechNetwork.closures`), and what parts the lips is
taken back as far as it is likely.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from model.audio.clip import EXPRESSION_SMOOTHING, smoothed
from model.audio.streams import neighbourhoods

SHARES = torch.tensor([1.0, 0.9])  # of the gap that a bilabial and a labiodental take away
RESTORED = 1.15  # smoothing takes as much from a closure of two frames
REACH = math.ceil(3 * EXPRESSION_SMOOTHING)


def closing_blocks(likely: Iterable[Tensor], ahead: int | None = None) -> Iterator[Tensor]:
    """How far lips are to be closed (T,), 0..1, for each block of how `likely` closures are (T, 2).

    `ahead`: frames after a frame that its smoothing may see, REACH when None.
    """
    for around, inside in neighbourhoods(likely, REACH, ahead):
        restored = (RESTORED * smoothed(around, EXPRESSION_SMOOTHING, ahead)[inside]).clamp(max=1)
        yield (restored * SHARES).amax(dim=1)
