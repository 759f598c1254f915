"""Train what moves around the face: the source, warped by the prior flow, shall come near the target.

Nothing but the few numbers of `Surroundings` is learned; the mesh inside the face stays as it is. Two runs with one
seed differ by rounding alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import numpy as np
import structlog
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from model.data.pairs import PairData
from model.metrics.images import psnr
from model.morphable.basis import MOTION_SPACE
from model.renderer.config import PRIOR_SCALE
from model.renderer.prior import Prior
from model.renderer.surroundings import NAME, Surroundings
from model.renderer.warping import warp
from model.weights.files import save_weights

log = structlog.get_logger(__name__)


class SurroundingsConfig(BaseModel):
    """How the surroundings are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: PositiveInt = 128  # of the pictures: kernels are smooth
    pairs: PositiveInt = 3000
    held_out_pairs: PositiveInt = 500
    steps: PositiveInt = 800
    batch: PositiveInt = 24
    learning_rate: PositiveFloat = 0.02  # falls by a cosine
    stay: NonNegativeFloat = 0.1  # weight of how far anchors leave where, and as what, they started
    frames_per_clip: PositiveInt = 40
    seed: int = 0


@dataclass(frozen=True)
class Views:
    """N pairs of frames: landmarks (N, 478, 3), the target's as the model moves the source's; pictures (N, 3, S, S) in
    [-1, 1]; the mesh's flow (N, 2, S/2, S/2) and how much it counts (N, 1, S/2, S/2)."""

    source_points: Tensor
    target_points: Tensor
    source: Tensor
    target: Tensor
    mesh: Tensor
    covered: Tensor

    def __getitem__(self, index: Tensor) -> Views:
        return Views(*(values[index] for values in vars(self).values()))

    def __len__(self) -> int:
        return len(self.source)


def train(
    config: SurroundingsConfig, *, data: Path, out: Path, minutes: float | None = None, cache: Path | None = None
) -> None:
    """Train on the train split and write weights and card, with figures of the val split, to `out`.

    Decoded frames are kept in `cache` (default: `out`/cache). `minutes` is accepted like everywhere and not needed: the
    whole takes a few.
    """
    torch.manual_seed(config.seed)
    cache = cache or out / "cache"
    training = PairData(data, cache, split="train", frames_per_clip=config.frames_per_clip)
    surroundings, start = Surroundings(), Surroundings()
    prior = Prior(training.morphable, surroundings)
    views = draw_views(training, prior, config.pairs, config)
    optimizer = torch.optim.Adam(surroundings.parameters())
    for step in range(config.steps):
        optimizer.param_groups[0]["lr"] = config.learning_rate * (1 + cos(pi * step / config.steps)) / 2
        batch = views[torch.randint(len(views), (config.batch,))]
        loss = (warped(surroundings, batch) - batch.target).abs().mean() + config.stay * strayed(surroundings, start)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            log.info("training surroundings", step=step, loss=round(loss.item(), 4))
    held_out = PairData(data, cache, split="val", frames_per_clip=8)
    figures = held_out_figures(surroundings, draw_views(held_out, prior, config.held_out_pairs, config))
    log.info("surroundings trained", **figures)
    card = {
        "kind": "surroundings",
        "version": 1,
        "motion_space": MOTION_SPACE,
        "intended_use": "prior flow of guided renderers",
        "data": training.sources,
        "recipe": "L1 between the source warped by the prior flow and the target, pairs of frames of one person",
        "figures": figures,
        "config": config.model_dump(),
    }
    save_weights(out, NAME, surroundings.state_dict(), card, dtype=torch.float32)


def draw_views(data: PairData, prior: Prior, count: int, config: SurroundingsConfig) -> Views:
    """Pairs of frames of real people, people alike."""
    generator = np.random.default_rng(config.seed)
    real = [clips for clips in data.people if not data.clips[clips[0]].generated]
    drawn = []
    for _ in range(count):
        clips = real[int(generator.integers(len(real)))]
        clip = data.clips[clips[generator.integers(len(clips))]]
        drawn.append(data.pair(clip, *data.far_pair(clip, generator), config.size)[1:])
    points, moved, source, target = (torch.stack(part) for part in zip(*drawn, strict=True))
    mesh, covered = prior.mesh_flow(points, moved, config.size // PRIOR_SCALE)
    return Views(points, moved, source, target, mesh, covered)


def warped(surroundings: Surroundings, views: Views) -> Tensor:
    """The sources (B, 3, S, S), moved by the prior flow."""
    around = surroundings(views.source_points, views.target_points, views.mesh.shape[-1])
    return warp(views.source, torch.lerp(around, views.mesh, views.covered), grid="aligned")


def strayed(surroundings: Surroundings, start: Surroundings) -> Tensor:
    """Mean square of how far anchors have gone and how much more or less they follow.

    Few heads of a corpus tilt far, and anchors far out would explain theirs by swinging whole shoulders.
    """
    gone = (surroundings.place - start.place.detach()).square().mean()
    return gone + (surroundings.follows - start.follows.detach()).square().mean()


@torch.no_grad()
def held_out_figures(surroundings: Surroundings, views: Views) -> dict[str, float]:
    """PSNR in dB, at the size trained at, of the source as it is and of the source moved."""
    moved = torch.cat([warped(surroundings, views[part]) for part in torch.arange(len(views)).split(50)])
    pictures = {"psnr_copy": views.source, "psnr_prior": moved}
    return {name: round(float(psnr(made, views.target).mean()), 3) for name, made in pictures.items()}
