"""Train the judge of lip synchrony: to tell which sound belongs to lips, among the same sound shifted and others'."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import structlog
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from model.audio.clip import SpeechClip, balanced
from model.audio.config import Count
from model.audio.features import SUBFRAMES
from model.data.speech_clips import in_sync, read_clips, sources, trusted
from model.data.speech_windows import Windows
from model.evaluation.audio.judge import (
    MOST_OFFSET,
    NAME,
    Judge,
    JudgeNetwork,
    JudgeNetworkConfig,
    by_offset,
    lip_basis,
)
from model.evaluation.audio.lip_sync import accuracy_figures
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, MOTION, MOTION_FPS, MOTION_SPACE
from model.training import Ema, Run, Stateful
from model.training.audio.augment import augment
from model.training.audio.release import rounded
from model.training.descent import adam, annealed, descend
from model.weights.card import Card

log = structlog.get_logger(__name__)

WINDOW_SHARPNESS, CLIP_SHARPNESS = 5.5, 15.0  # factors from similarity to logit
HIDDEN = -1e4  # logit of what is no choice
STRENGTH_NATS = 0.2  # deviation of how strongly lips move, so that no clip is told by it

Weight = Annotated[float, Field(ge=0)]


class JudgeConfig(BaseModel):
    """How the judge is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: JudgeNetworkConfig = JudgeNetworkConfig()
    seed: int = 0
    windows: Annotated[int, Field(ge=2)] = 50  # of a piece of a clip
    batch: Annotated[int, Field(ge=2)] = 32  # pieces
    steps: Count = 1000
    rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Weight = 0.05
    ema_half_life_steps: Annotated[float, Field(gt=0)] = 100.0
    window_weight: Weight = 1.0
    piece_weight: Weight = 1.0
    stranger_weight: Weight = 0.5
    clips_at_most: Count | None = None  # of each split; for trials


class Trainer:
    """Training data, the network and one step."""

    def __init__(self, config: JudgeConfig, clips: Sequence[SpeechClip]) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.clips = [clip for clip in trusted(clips) if clip.frames > config.network.window]
        self.weights = balanced(self.clips)
        self.lengths = [clip.frames for clip in self.clips]
        self.network = JudgeNetwork(config.network)
        self.network.lip_basis.copy_(lip_basis(MorphableModel.load()))
        self.shown = [self.network.shown(clip.motion[None, :, EXPRESSION])[0] for clip in self.clips]
        self.optimizer = adam(self.network, config.rate, config.weight_decay)
        self.ema = Ema(self.network, config.ema_half_life_steps)

    @property
    def state(self) -> dict[str, Stateful]:
        """All that a checkpoint holds."""
        return {"network": self.network, "optimizer": self.optimizer, "ema": self.ema}

    def step(self, progress: float) -> dict[str, Tensor]:
        """Learn from one batch at `progress` 0..1 of the run: its losses ()."""
        config, network = self.config, self.network.train()
        frames = config.windows + config.network.window - 1
        pieces = Windows.draw(self.lengths, self.weights, batch=config.batch, frames=frames)
        mel = augment(pieces.cut([clip.mel for clip in self.clips], rate=SUBFRAMES))
        mel = torch.roll(mel, int(torch.randint(-1, 2, ())), dims=1)  # up to 10 ms early or late
        shown = pieces.cut(self.shown) * (STRENGTH_NATS * torch.randn(config.batch, 1, 1)).exp()
        lips, sound = network(shown, mel)
        windows = pieces.inside(self.lengths).sum(dim=1).long() - config.network.window + 1
        alike = lips @ sound.transpose(1, 2)
        losses = {
            "window": window_loss(alike, windows),
            "piece": piece_loss(alike, windows),
            "stranger": stranger_loss(lips, sound, windows),
        }
        weights = {
            "window": config.window_weight, "piece": config.piece_weight, "stranger": config.stranger_weight
        }  # fmt: skip
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        descend(self.optimizer, total, annealed(progress), network)
        self.ema.update()
        return {name: loss.detach() for name, loss in losses.items()}

    def train(self, run: Run) -> None:
        """Take the run's steps, from wherever it stands."""
        for step, progress in run.steps():
            run.log(step, **self.step(progress))


def window_loss(alike: Tensor, windows: Tensor) -> Tensor:
    """Find each window's sound, and each sound's lips, among those of the same clip that are up to MOST_OFFSET away.

    alike (B, N, N), of which the first `windows` (B,) are clip. Those next to the true one are no choice: they are too
    much like it to be wrong.
    """
    number = torch.arange(alike.shape[1])
    apart = (number[:, None] - number).abs()
    there = number < windows[:, None]
    logits = WINDOW_SHARPNESS * alike.masked_fill((apart > MOST_OFFSET) | (apart == 1), HIDDEN)
    target = number.expand(len(alike), -1)
    sounds = F.cross_entropy(logits.masked_fill(~there[:, None], HIDDEN).transpose(1, 2), target, reduction="none")
    lips = F.cross_entropy(logits.masked_fill(~there[..., None], HIDDEN), target, reduction="none")
    return ((sounds + lips) * there).sum() / (2 * there.sum())


def piece_loss(alike: Tensor, windows: Tensor) -> Tensor:
    """Find offset 0 of whole pieces, as the judge will: alike (B, N, N) of `windows` (B,) each."""
    logits = (CLIP_SHARPNESS * by_offset(alike, windows)).clamp(min=HIDDEN)
    next_to_it = torch.zeros(logits.shape[1], dtype=torch.bool)
    next_to_it[[MOST_OFFSET - 1, MOST_OFFSET + 1]] = True
    return F.cross_entropy(logits.masked_fill(next_to_it, HIDDEN), torch.full((len(alike),), MOST_OFFSET))


def stranger_loss(lips: Tensor, sound: Tensor, windows: Tensor) -> Tensor:
    """Find each piece's sound among those of the batch, and its lips: embeddings (B, N, E) of `windows` (B,) each."""
    there = (torch.arange(lips.shape[1]) < windows[:, None]).float()
    common = torch.minimum(windows[:, None], windows)
    total = torch.einsum("bnd,cnd,bn,cn->bc", lips, sound, there, there)
    logits = CLIP_SHARPNESS * total / common
    own = torch.arange(len(lips))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def train(config: JudgeConfig, *, data: Sequence[Path], out: Path, minutes: float | None = None) -> None:
    """Train on the folders `data` and release `lip-sync-judge` into `out`; an interrupted run in `out` goes on."""
    trainer = Trainer(config, read_clips(data, "train", at_most=config.clips_at_most))
    run = Run(out, config, trainer.state, steps=config.steps, minutes=minutes)
    trainer.train(run)
    held_out = read_clips(data, "val", at_most=config.clips_at_most)
    log.info("released", **release(run, trainer, held_out, sources(data)))


def release(run: Run, trainer: Trainer, held_out: Sequence[SpeechClip], sources: Sequence[str]) -> dict[str, Any]:
    """Write the averaged network and its card into the run's folder; returns the card's figures."""
    network = trainer.ema.module
    figures = rounded(accuracy_figures(Judge(network), in_sync(held_out)))
    minutes = sum(trainer.lengths) / MOTION_FPS / 60
    card = Card(
        kind="judge",
        motion_space=MOTION_SPACE,
        dimension=MOTION,
        intended_use="tells whether the lips of a motion follow a sound, for evaluation of speech to motion",
        data=list(sources),
        recipe=f"{len(trainer.clips)} clips with sound, {minutes:.1f} minutes; a tower for lips and one for log-mel, "
        "which find each other among shifted pieces of a clip and among clips",
        figures=figures,
        config=trainer.config.model_dump(),
    )
    run.release(NAME, network, card)
    return figures
