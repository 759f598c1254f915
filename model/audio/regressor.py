"""The part of lip motion that sound determines: small convolutional networks, cross-fitted over people.

Shapes: B batch, T video frames, E components of the expression code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.audio.features import MELS, SUBFRAMES

LARGEST_DILATION = 8


class DilatedBlocks(nn.Module):
    """Residual blocks over (B, C, T): norm, GELU, dropout, convolution of kernel 3 with dilation 1, 2, 4, 8, 8...

    A convolution sees both sides alike until the blocks before it have used up `look_ahead`, the frames that may be
    seen after a frame in all; then its taps move to the past.
    """

    def __init__(self, channels: int, blocks: int, dropout: float, look_ahead: int) -> None:
        super().__init__()
        dilations = [min(2**k, LARGEST_DILATION) for k in range(blocks)]
        self.ahead, left = [], look_ahead
        for dilation in dilations:
            self.ahead.append(min(dilation, left))
            left -= self.ahead[-1]
        self.spans = [2 * dilation for dilation in dilations]
        self.reach = sum(self.spans) - sum(self.ahead)  # frames seen before a frame; after it at most as many
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in dilations)
        self.dropout = nn.Dropout(dropout)
        self.convolutions = nn.ModuleList(nn.Conv1d(channels, channels, 3, dilation=dilation) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, T) -> (B, C, T)."""
        for norm, convolution, span, ahead in zip(self.norms, self.convolutions, self.spans, self.ahead, strict=True):
            y = self.dropout(F.gelu(norm(x)))
            x = x + convolution(F.pad(y, (span - ahead, ahead)))
        return x


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, T), each frame by itself: a pause elsewhere changes nothing here."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, T) -> (B, C, T)."""
        y: Tensor = self.norm(x.transpose(1, 2))
        return y.transpose(1, 2)


class Regressor(nn.Module):
    """Log-mel (B, 4 T, MELS) to what lips do in each frame: the expected expression code (B, T, E), or closures."""

    def __init__(self, components: int, channels: int, blocks: int, dropout: float, look_ahead: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(MELS, channels, 3, padding=1)
        self.to_frames = nn.Conv1d(
            channels, channels, SUBFRAMES, stride=SUBFRAMES
        )  # one output for a frame's sub-frames
        self.blocks = DilatedBlocks(channels, blocks, dropout, look_ahead)
        self.out = nn.Conv1d(channels, components, 1)
        self.reach = self.blocks.reach + 1
        self.ahead = sum(self.blocks.ahead) + 1  # frames seen after a frame; the stem sees a sub-frame of the last

    def forward(self, mel: Tensor) -> Tensor:
        """Mel (B, 4 T, MELS) -> code (B, T, E)."""
        x = self.to_frames(F.gelu(self.stem(mel.transpose(1, 2))))
        code: Tensor = self.out(F.gelu(self.blocks(x)))
        return code.transpose(1, 2)


class RegressorEnsemble(nn.Module):
    """M regressors, each trained without one fold of people.

    For a training clip the member that never saw its person predicts, so that what the flow learns to add is as large
    as it will be for a stranger; a stranger gets the mean of all.
    """

    def __init__(
        self, members: int, components: int, *, channels: int, blocks: int, dropout: float, look_ahead: int
    ) -> None:
        super().__init__()
        made = [Regressor(components, channels, blocks, dropout, look_ahead) for _ in range(members)]
        self.members = nn.ModuleList(made)
        self.reach = made[0].reach  # frames of sound that a prediction sees on either side at most
        self.ahead = made[0].ahead  # and after its own

    def forward(self, mel: Tensor, fold: int | None = None) -> Tensor:
        """Mel (B, 4 T, MELS) -> code (B, T, E), by the member that left out `fold`, or the mean of all."""
        if fold is not None:
            return torch.as_tensor(self.members[fold](mel))
        return torch.stack([member(mel) for member in self.members]).mean(dim=0)
