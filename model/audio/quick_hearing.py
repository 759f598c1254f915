"""What the networks hear, frame by frame: as `hearing`, from each frame and what is kept of those before.

Networks of the same sizes are laid side by side once and run together: what a frame costs is the number of calls, not
of operations. Shapes: N networks side by side, C channels.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.audio.features import MELS, SUBFRAMES
from model.audio.hearing import Sound
from model.audio.network import BANDS, SpeechNetwork
from model.audio.regressor import ChannelNorm, DilatedBlocks, Regressor


class _Block:
    """One of `DilatedBlocks` of N networks; what it says of a frame it says `ahead` frames later."""

    def __init__(self, stacks: Sequence[DilatedBlocks], number: int) -> None:
        self.ahead, span = stacks[0].ahead[number], stacks[0].spans[number]
        norms = [cast(ChannelNorm, stack.norms[number]).norm for stack in stacks]
        self.scale, self.shift = (_side_by_side([getattr(norm, name) for norm in norms]) for name in ("weight", "bias"))
        self.epsilon = norms[0].eps
        self.convolution = _Convolution([cast(nn.Conv1d, stack.convolutions[number]) for stack in stacks])
        silent = torch.zeros_like(self.scale)  # as is what was before the sound
        self.seen = deque([silent] * (span + 1), span + 1)
        self.waiting: deque[Tensor] = deque()

    def __call__(self, x: Tensor) -> Tensor | None:
        """The next frame (N, 1, C) -> that of `ahead` frames ago, None while there is none."""
        normed = F.layer_norm(x, x.shape[-1:], eps=self.epsilon)
        self.seen.append(F.gelu(torch.addcmul(self.shift, normed, self.scale)))
        self.waiting.append(x)
        if len(self.waiting) <= self.ahead:
            return None
        taps = torch.cat([self.seen[0], self.seen[len(self.seen) // 2], self.seen[-1]], dim=2)
        return self.waiting.popleft() + self.convolution(taps)


class _Convolution:
    """A convolution of N networks as the one product that a frame needs of it."""

    def __init__(self, convolutions: Sequence[nn.Conv1d]) -> None:
        self.weight = torch.stack([each.weight.detach().permute(2, 1, 0).flatten(0, 1) for each in convolutions])
        self.bias = _side_by_side([cast(Tensor, each.bias) for each in convolutions])

    def __call__(self, taps: Tensor) -> Tensor:
        """What its taps see (N, T, taps x C) -> (N, T, C)."""
        return torch.baddbmm(self.bias, taps, self.weight)


class _Blocks:
    """`DilatedBlocks` of N networks."""

    def __init__(self, stacks: Sequence[DilatedBlocks]) -> None:
        self.blocks = [_Block(stacks, number) for number in range(len(stacks[0].spans))]

    def __call__(self, x: Tensor) -> Tensor | None:
        """The next frame (N, 1, C) -> one of some frames ago after a last GELU, None while there is none."""
        for block in self.blocks:
            y = block(x)
            if y is None:
                return None
            x = y
        return F.gelu(x)


class QuickRegressors:
    """N regressors of like sizes; what they say of a frame they say some frames later."""

    def __init__(self, regressors: Sequence[Regressor]) -> None:
        self.stem = _Convolution([each.stem for each in regressors])
        self.to_frames = _Convolution([each.to_frames for each in regressors])
        self.blocks = _Blocks([each.blocks for each in regressors])
        self.out = _Convolution([each.out for each in regressors])
        self.mel: Tensor | None = None  # of the last frame, and the sub-frame before it

    def __call__(self, mel: Tensor) -> Tensor | None:
        """The next frame's mel (4, MELS) -> what is said of a frame (N, 1, E), None while nothing is."""
        if self.mel is None:
            self.mel = torch.cat([torch.zeros(1, MELS), mel])
            return None
        around = torch.cat([self.mel, mel[:1]])
        self.mel = torch.cat([self.mel[-1:], mel])
        x = F.gelu(self.stem(around.unfold(0, 3, 1).transpose(1, 2).flatten(1).expand(len(self.stem.weight), -1, -1)))
        y = self.blocks(self.to_frames(x.flatten(1)[:, None]))
        return None if y is None else self.out(y)


def quick_sounds(network: SpeechNetwork, mels: Iterable[Tensor]) -> Iterator[Sound]:
    """What is heard in each frame of mel (4, MELS): `sounds` of `track_blocks`, a frame at a time."""
    flows = network.flows
    regressors = QuickRegressors([cast(Regressor, member) for member in network.regressors.members])
    encoders = [flows.expression_sound, flows.pose_sound]
    stem, blocks = _Convolution([each.stem for each in encoders]), _Blocks([each.blocks for each in encoders])
    coarse: deque[Tensor] = deque()
    for mel in mels:
        coarse.append(mel.reshape(SUBFRAMES, BANDS, -1).mean(dim=(0, 2)))
        said = regressors(mel)
        if said is not None:
            expected = said.mean(dim=0)
            track = torch.cat([expected, coarse.popleft()[None]], dim=1)
            condition = blocks(stem(track.expand(len(encoders), -1, -1)))
            assert condition is not None  # noqa: S101 - they look none ahead
            yield Sound(expected, *condition)


def quick_closures(network: SpeechNetwork, mels: Iterable[Tensor]) -> Iterator[Tensor]:
    """How likely closures are heard (1, 2), 0..1, in each frame of mel (4, MELS): as `closure_blocks`."""
    regressor = QuickRegressors([network.closures])
    for mel in mels:
        said = regressor(mel)
        if said is not None:
            yield torch.sigmoid(said[0])


def _side_by_side(vectors: Sequence[Tensor]) -> Tensor:
    """N vectors (C,) as (N, 1, C)."""
    return torch.stack([vector.detach() for vector in vectors])[:, None]
