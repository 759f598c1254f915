"""What the networks hear in a sound, block after block: what lips are expected to do, and conditions of the flows."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from model.audio.features import MELS, SUBFRAMES
from model.audio.network import SpeechNetwork
from model.audio.streams import BLOCK_FRAMES, neighbourhoods


class Sound(NamedTuple):
    """What is heard in T frames.

    expected: the expression code (T, E). expression and pose: what the two flows are conditioned on (T, C).
    """

    expected: Tensor
    expression: Tensor
    pose: Tensor


@torch.no_grad()
def heard_blocks(heard: Callable[[Tensor], Tensor], reach: int, mels: Iterable[Tensor]) -> Iterator[Tensor]:
    """What `heard` makes of mel (1, 4 T, MELS), (1, T, ...), for each block (T, ...); it sees `reach` frames around."""
    rows = (mel.reshape(-1, SUBFRAMES * MELS) for mel in mels)
    for around, inside in neighbourhoods(rows, reach):
        yield heard(around.reshape(1, -1, MELS))[0, inside]


def track_blocks(network: SpeechNetwork, mels: Iterable[Tensor], fold: int | None = None) -> Iterator[Tensor]:
    """The sound track (T, S) of each block of mel (4 T, MELS)."""
    return heard_blocks(lambda mel: network.track(mel, fold), network.regressors.reach, mels)


def closure_blocks(network: SpeechNetwork, mels: Iterable[Tensor]) -> Iterator[Tensor]:
    """How likely closures are heard (T, 2), 0..1, in each block of mel (4 T, MELS)."""
    return heard_blocks(lambda mel: torch.sigmoid(network.closures(mel)), network.closures.reach, mels)


def sound_track(network: SpeechNetwork, mel: Tensor, fold: int | None = None) -> Tensor:
    """The sound track (T, S) of mel (4 T, MELS)."""
    return torch.cat(list(track_blocks(network, mel.split(SUBFRAMES * BLOCK_FRAMES), fold)))


@torch.no_grad()
def sounds(network: SpeechNetwork, tracks: Iterable[Tensor]) -> Iterator[Sound]:
    """What is heard in each block of sound track (T, S)."""
    flows = network.flows
    for around, inside in neighbourhoods(tracks, flows.reach):
        expression, pose = (sound(around[None])[0, inside] for sound in (flows.expression_sound, flows.pose_sound))
        yield Sound(around[inside, : flows.components], expression, pose)
