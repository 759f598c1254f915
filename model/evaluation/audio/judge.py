"""A judge of lip synchrony: a two-tower network that tells by how much a sound comes before or after the lips.

One tower sees the lips of 15 frames, the other hears the sound of the same time, and both answer with a unit vector;
those of what belongs together are alike (after Chung and Zisserman, "Out of time: automated lip sync in the wild",
2016). What it sees of lips is their expression alone, on the mean face and about the clip's mean, so that motion which
was read from a video and motion which was made look alike to it.

Shapes: B batch, N windows, which are T - 14, D coordinates of the lips, E numbers of an embedding.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from model.audio.config import Count, Share
from model.audio.features import MELS, SUBFRAMES
from model.audio.regressor import ChannelNorm
from model.audio.sampling import smoothed_takes
from model.errors import DataError
from model.face.topology import MOUTH, mirror_permutation
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION_SIZE, HALF_CROP, MOTION_SPACE, POINTS
from model.weights.files import load_into, load_weights

NAME = "lip-sync-judge"  # of the released weights
MOST_OFFSET = 15  # frames
OFFSETS = range(-MOST_OFFSET, MOST_OFFSET + 1)
LEAST_COMMON = 3  # one of so many windows: an offset that leaves fewer in common is not looked at
SMOOTHING = 1.0  # deviation in frames, of read and made motion alike
STEM = 5  # frames that a tower's first convolution sees
TAPS = 3  # and each of the others
LIP_COORDINATES = 2 * len(MOUTH)


class JudgeNetworkConfig(BaseModel):
    """Sizes of the judge's network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Count = 64
    blocks: Count = 5
    embedding: Count = 64
    dropout: Share = 0.2

    @property
    def window(self) -> int:
        """Frames that an embedding tells of."""
        return STEM + (TAPS - 1) * self.blocks


class Block(nn.Module):
    """A residual block over (B, C, T): norm, GELU, convolution, dropout; a frame at either end is used up."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.convolution = nn.Conv1d(channels, channels, TAPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, T) -> (B, C, T - 2)."""
        kept: Tensor = x[..., TAPS // 2 : -(TAPS // 2)] + self.dropout(self.convolution(F.gelu(self.norm(x))))
        return kept


class Tower(nn.Module):
    """Rows (B, T, D) to unit embeddings (B, N, E). Nothing is padded: where a clip ends would tell its time."""

    def __init__(self, inputs: int, config: JudgeNetworkConfig) -> None:
        super().__init__()
        self.stem = nn.Conv1d(inputs, config.channels, STEM)
        self.blocks = nn.Sequential(*[Block(config.channels, config.dropout) for _ in range(config.blocks)])
        self.norm = ChannelNorm(config.channels)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Conv1d(config.channels, config.embedding, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (B, T, D) -> embeddings (B, N, E)."""
        x = self.out(self.dropout(F.gelu(self.norm(self.blocks(self.stem(rows.transpose(1, 2)))))))
        return F.normalize(x.transpose(1, 2), dim=-1)


class JudgeNetwork(nn.Module):
    """Both towers, and what the first one is shown of an expression."""

    lip_basis: Tensor

    def __init__(self, config: JudgeNetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("lip_basis", torch.zeros(EXPRESSION_SIZE, LIP_COORDINATES))
        self.lips = Tower(LIP_COORDINATES, config)
        self.sound = Tower(SUBFRAMES * MELS, config)

    def shown(self, expressions: Tensor) -> Tensor:
        """What is shown (B, T, D) of the lips of expressions (B, T, 64), each about its clip's mean."""
        smooth = smoothed_takes(expressions, SMOOTHING)
        return (smooth - smooth.mean(dim=1, keepdim=True)) @ self.lip_basis

    def forward(self, shown: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, N, E) of what is shown of lips, (B, T, D), and of mel (B, 4 T, MELS)."""
        return self.lips(shown), self.sound(mel.reshape(len(mel), -1, SUBFRAMES * MELS))


def lip_basis(model: MorphableModel) -> Tensor:
    """What expressions (T, 64) are multiplied with to be shown to the judge (64, D).

    These are x and y of the lips' points on the mean face, in crop units, each the mean of its side and the other's
    mirror image: speech moves both alike, by about a unit.
    """
    points = model.expression_basis.reshape(EXPRESSION_SIZE, POINTS, 3)
    mirrored = points[:, torch.from_numpy(mirror_permutation(model.mean.numpy()))] * torch.tensor([-1.0, 1.0, 1.0])
    lips = (points + mirrored)[:, list(MOUTH), :2].flatten(1) / 2
    return HALF_CROP * lips


def by_offset(alike: Tensor, windows: Tensor) -> Tensor:
    """Means (B, 31) at each of OFFSETS of how alike (B, N, N) each window of lips and that of sound so much later are.

    Only the first `windows` (B,) count. It is -infinity where fewer than one of LEAST_COMMON is in common.
    """
    count = alike.shape[1]
    there = torch.arange(count) < windows[:, None]
    both = there[:, :, None] & there[:, None, :]
    means = []
    for offset in OFFSETS:
        common = both.diagonal(offset, 1, 2)
        total = (alike.diagonal(offset, 1, 2) * common).sum(dim=1)
        number = common.sum(dim=1)
        means.append((total / number.clamp(min=1)).masked_fill(LEAST_COMMON * number < windows, -torch.inf))
    return torch.stack(means, dim=1)


@dataclass(frozen=True)
class Agreement:
    """How alike the lips of N motions and a sound are at each offset of the sound."""

    similarity: Tensor  # (N, 31), -infinity where too little is in common

    @property
    def offset(self) -> Tensor:
        """By how many frames the sound comes late (N,), as far as lips tell."""
        return self.similarity.argmax(dim=1) - MOST_OFFSET

    @property
    def confidence(self) -> Tensor:
        """By how much the best offset exceeds the median one (N,): SyncNet's measure."""
        looked_at = self.similarity.masked_fill(self.similarity.isinf(), torch.nan)
        return self.similarity.amax(dim=1) - looked_at.nanmedian(dim=1).values

    @property
    def at_zero(self) -> Tensor:
        """How alike they are as they come (N,)."""
        return self.similarity[:, MOST_OFFSET]


class Judge:
    """Tells of sound and motion whether they belong together; made by `load`."""

    def __init__(self, network: JudgeNetwork) -> None:
        self.network = network.eval()

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """Load the released weights, or those in `directory`.

        Raises WeightsError: they are missing, damaged or of another motion space.
        """
        state, card = load_weights(NAME, directory, motion_space=MOTION_SPACE)
        network = JudgeNetwork(JudgeNetworkConfig(**card["config"]["network"]))
        load_into(network, state, NAME)
        return cls(network)

    @torch.no_grad()
    def __call__(self, mel: Tensor, expressions: Tensor) -> Agreement:
        """Compare mel (4 T, MELS) with each of N expressions (N, T, 64).

        Raises DataError: they are not of one length, or shorter than a window.
        """
        frames, window = expressions.shape[1], self.network.config.window
        if len(mel) != SUBFRAMES * frames or frames < window:
            raise DataError(
                f"{len(mel)} rows of mel beside {frames} frames of expression; "
                f"{SUBFRAMES} rows a frame and {window} frames or more are allowed"
            )
        lips, sound = self.network(self.network.shown(expressions), mel[None])
        alike = lips @ sound.transpose(1, 2)
        windows = torch.full((len(alike),), alike.shape[1])
        return Agreement(by_offset(alike, windows))
