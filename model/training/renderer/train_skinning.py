"""Train how a portrait's pixels follow its head, on a corpus folder.

A portrait is moved as its skin says, and shall look like other frames of the clip: no label says what is hair and what
is wall. Cameras move too, but seldom in step with the head.
"""

import math
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from model.data.clips import Clip
from model.data.corpus import CORPUS_SIZE, spread
from model.data.views import ViewData, Views
from model.metrics.images import psnr
from model.morphable.basis import HALF_CROP, MOTION_SPACE
from model.pictures import to_frames
from model.renderer.prior.prior import Prior
from model.renderer.prior.skinning import PICTURE_SIDE, SKINNING, Skin, SkinningNetwork, inside_rim
from model.renderer.warping import pixel_centres, warp
from model.training import Ema, Run, Stateful
from model.weights.card import Card

SCALES = 4  # of the picture: full, 1/2, 1/4, 1/8; the coarse ones lead a pixel that starts far off
CHARBONNIER = 1e-3  # square of the difference below which the loss is a parabola
FACE_WEIGHT = 0.1
WEIGHT_ROUGHNESS, DEPTH_ROUGHNESS = 0.02, 0.001
WARM_UP_STEPS = 100
SHEET_PEOPLE = 12


class SkinningConfig(BaseModel):
    """Everything of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt = 200_000
    seed: int = 0
    portraits: PositiveInt = 8  # a step, with three targets each
    learning_rate: PositiveFloat = 1e-3  # at first; falls to zero by a cosine
    frames_per_clip: PositiveInt = 40
    ema_half_life_steps: PositiveFloat = 300.0
    evaluate_every_minutes: PositiveFloat = 5.0
    evaluation_clips: PositiveInt = 24
    start_from: Path | None = None  # folder of weights that a new run starts from, such as model/weights


def train(
    config: SkinningConfig, *, data: Path, out: Path, minutes: float | None = None, cache: Path | None = None
) -> None:
    """Train, resume when `out` holds a checkpoint, and keep weights and card of the best averaged network in `out`.

    Best is the one whose prior alone draws held-out people with the highest PSNR. Decoded frames are kept in `cache`
    (default: `out`/cache) for later runs.
    """
    torch.manual_seed(config.seed)
    cache = cache or out / "cache"
    training = ViewData(data, cache, split="train", frames_per_clip=config.frames_per_clip, size=PICTURE_SIDE)
    held_out = ViewData(data, cache, split="val", frames_per_clip=8, size=CORPUS_SIZE)
    trainer = SkinningTrainer(config, training)
    run = Run(out, config, trainer.state, steps=config.steps, minutes=minutes)
    for step, progress in run.steps():
        run.log(step, **trainer.step(step, progress))
        if run.due(config.evaluate_every_minutes):
            keep_best(run, trainer, held_out)
    keep_best(run, trainer, held_out)


class SkinningTrainer:
    """Network, average and optimiser; knows what one step is."""

    def __init__(self, config: SkinningConfig, training: ViewData) -> None:
        self.config, self.training = config, training
        fresh = config.start_from is None
        self.network = SkinningNetwork() if fresh else SkinningNetwork.load(config.start_from).train()
        self.ema = Ema(self.network, config.ema_half_life_steps)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=config.learning_rate, weight_decay=1e-3)

    @property
    def state(self) -> dict[str, Stateful]:
        """All that a checkpoint holds."""
        return {"network": self.network, "ema": self.ema, "optimizer": self.optimizer}

    def step(self, number: int, progress: float) -> dict[str, Tensor]:
        """Step `number`, at `progress` 0..1 of the run: its loss and the gradient's norm, ()."""
        config = self.config
        rate = config.learning_rate * min(1.0, (number + 1) / WARM_UP_STEPS)
        self.optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * progress)) / 2
        views = self.training.batch([np.random.default_rng((config.seed, number, n)) for n in range(config.portraits)])
        loss = skinning_loss(self.network, views)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.ema.update()
        return {"loss": loss.detach(), "gradient_norm": norm}


def skinning_loss(network: SkinningNetwork, views: Views) -> Tensor:
    """How far the portraits, moved by their skin alone, are from the targets, plus roughness of the maps.

    What lies in the target's face counts little, since the prior draws that as a mesh. The difference is Charbonnier's
    (Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed imaging", ICIP 1994).
    """
    count = views.targets.shape[1]
    weights, depth = network(views.source, views.landmarks)

    def for_each_target(values: Tensor) -> Tensor:
        return values.repeat_interleave(count, 0)

    skin = Skin(*map(for_each_target, (views.landmarks, views.motion, weights, depth)))
    wanted = views.target_landmarks.flatten(0, 1)
    origins, _ = skin.origins(wanted, views.motions.flatten(0, 1))
    counted = 1 - (1 - FACE_WEIGHT) * inside_rim(wanted)
    loss = WEIGHT_ROUGHNESS * _roughness(weights) + DEPTH_ROUGHNESS * _roughness(depth)
    source, targets = for_each_target(views.source), views.targets.flatten(0, 1)
    for scale in range(SCALES):
        if scale:
            source, targets, counted = (F.avg_pool2d(maps, 2) for maps in (source, targets, counted))
        size = (source.shape[2], source.shape[3])
        places = pixel_centres(size) + F.interpolate(origins, size=size, mode="bilinear") / HALF_CROP
        moved = F.grid_sample(source, places.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
        difference = ((moved - targets).square().sum(1, keepdim=True) + CHARBONNIER).sqrt()
        loss = loss + (difference * counted).mean()
    return loss


def held_out_pictures(network: SkinningNetwork, held_out: ViewData, clip: Clip) -> tuple[Views, Tensor]:
    """The clip's first frame and its others, and those as the prior alone draws them, (1, K, 3, S, S)."""
    prior, views = Prior(held_out.morphable, network), held_out.first_to_others(clip)
    heads = prior.heads(views.source, views.landmarks, views.motion)
    guide = prior.guide(heads, views.target_landmarks[0], views.motions[0], size=views.source.shape[-1])
    return views, guide.complete(warp(views.source, guide.flow, grid="aligned"))[None]


@torch.no_grad()
def keep_best(run: Run, trainer: SkinningTrainer, held_out: ViewData) -> None:
    """Measure the averaged network on held-out real people; write it as weights when none before was better."""
    network, count = trainer.ema.module, trainer.config.evaluation_clips
    clips = spread([clip for clip in held_out.clips if not clip.generated] or held_out.clips, count)
    figures, rows = [], []
    for clip in clips:
        views, drawn = held_out_pictures(network, held_out, clip)
        figures.append(psnr(drawn[0], views.targets[0]).mean().item())
        weights = network.skin(views.source, views.landmarks, views.motion).weights
        maps = F.interpolate(weights, size=drawn.shape[-2:]) * 2 - 1
        row = torch.cat([views.source, maps, drawn[:, -1], views.targets[:, -1]], 3)
        rows.append(to_frames(row)[0])
    mean = float(np.mean(figures))
    run.record(run.step, psnr_prior=mean)
    run.sheet(run.step, "held-out", np.concatenate(rows[:SHEET_PEOPLE]))
    card = Card(
        kind="skinning",
        motion_space=MOTION_SPACE,
        intended_use="the prior of guided renderers",
        data=trainer.training.sources,
        recipe="docs/training.md",
        figures={"psnr_prior": round(mean, 2), "clips": len(clips)},
    )
    run.release(SKINNING, network, card, better=lambda before: mean > before["psnr_prior"])


def _roughness(maps: Tensor) -> Tensor:
    """Sum of the mean steps down and across of maps (..., S, S)."""
    return maps.diff(dim=-2).abs().mean() + maps.diff(dim=-1).abs().mean()
