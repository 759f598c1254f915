"""Build the morphable model from a corpus' landmarks: alignment, identity PCA, expression PCA.

Nothing is random: two builds differ by rounding alone.
"""

from pathlib import Path

import numpy as np
import structlog
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from model.data.corpus import Item, read_corpus
from model.evaluation.morphable.evaluate import held_out_figures, spread_frames
from model.morphable.basis import (
    EXPRESSION,
    EXPRESSION_SIZE,
    HALF_CROP,
    IDENTITY,
    MOTION,
    MOTION_SPACE,
    POINTS,
    TURNING,
    MorphableModel,
)
from model.morphable.controls import control_card, fit_control_directions
from model.morphable.pose import rotation_angles, similarity
from model.weights.card import MorphableCard
from model.weights.files import save_weights

log = structlog.get_logger(__name__)


class MorphableConfig(BaseModel):
    """How the morphable model is built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames_per_clip: int = 60
    alignment_rounds: int = 6


def train(config: MorphableConfig, *, data: Path, out: Path, minutes: float | None = None) -> None:
    """Build the model from the train split and write it with its card to `out`.

    `minutes` is accepted like everywhere and not needed: the whole takes well under one.
    """
    items = read_corpus(data, split="train")
    points, owner = _sample(items, config.frames_per_clip)
    model, figures = build(points, owner, config)
    figures |= held_out_figures(model, data)
    expressions = _expressions_of_clips(model, [item for item in items if item.kind == "clip"], config.frames_per_clip)
    directions = fit_control_directions(model, expressions)
    log.info("morphable model built", **figures)
    card = MorphableCard(
        motion_space=MOTION_SPACE,
        dimension=MOTION,
        intended_use="motion descriptors of faces for portrait animation",
        data=sorted({item.repo for item in items}),
        recipe="similarity alignment weighted by stillness; identity PCA over clips and stills; "
        "expression PCA over what a clip's frames add, less what turning explains",
        figures=figures,
        config=config.model_dump(),
        layout={
            "expression": (0, 64),
            "yaw_pitch_roll_radians": (64, 67),
            "log_scale": (67, 68),
            "x_y_half_crop_sides": (68, 70),
        },
        **control_card(directions),
    )
    save_weights(out, MOTION_SPACE, model.state_dict(), card, dtype=torch.float32)


def build(points: Tensor, owner: Tensor, config: MorphableConfig) -> tuple[MorphableModel, dict[str, float]]:
    """Build from landmarks (F, 478, 3) in crop units; `owner` (F,) numbers the clip or still of each frame."""
    alignment = Alignment(points, owner)
    for _ in range(config.alignment_rounds):
        alignment.step()
    return _model_of(alignment)


class Alignment:
    """Frames (F, 478, 3) on one mean shape (478, 3), by similarities that weigh what moves least the most, (478,).

    In half sides of the crop. `person` (owners, 478, 3) is the mean of each clip's or still's aligned frames; `share`
    (F,) lets every clip and still count the same, however long.
    """

    def __init__(self, points: Tensor, owner: Tensor) -> None:
        self.centred = (points - points.new_tensor([HALF_CROP, HALF_CROP, 0.0])) / HALF_CROP
        self.owner, self.owners = owner, int(owner.max()) + 1
        self.count = torch.bincount(owner, minlength=self.owners).float()
        self.share = 1.0 / self.count[owner]
        mean = (self.centred * self.share.view(-1, 1, 1)).sum(0) / self.owners
        self.mean, self.weights = mean - mean.mean(0), torch.ones(POINTS)
        self.scale = self.rotation = self.aligned = self.person = torch.empty(0)  # by the first step

    def step(self) -> None:
        """Align the frames to the mean, and take mean and weights anew of what that gives."""
        mean, weights = self.mean, self.weights
        self.scale, self.rotation, translation = similarity(mean.expand_as(self.centred), self.centred, weights)
        aligned = ((self.centred - translation.unsqueeze(1)) @ self.rotation) / self.scale.view(-1, 1, 1)
        person = self.owner_means(aligned)
        # Stillness is told from the own mean shape: that keeps identity out of the pose.
        moved = ((aligned - person[self.owner]).square().sum(-1) * self.share.unsqueeze(-1)).sum(0) / self.owners
        weights = 1.0 / (moved + moved.median() * 0.25)
        self.weights = weights / weights.sum()
        mean = person.mean(0)
        self.mean = mean - (self.weights.unsqueeze(-1) * mean).sum(0)
        self.aligned, self.person = aligned, person

    def owner_means(self, values: Tensor) -> Tensor:
        """Means (owners, ...) of values (F, ...)."""
        sums = values.new_zeros(self.owners, *values.shape[1:]).index_add_(0, self.owner, values)
        return sums / self.count.view(-1, *[1] * (values.dim() - 1))


def _model_of(alignment: Alignment) -> tuple[MorphableModel, dict[str, float]]:
    owner, share = alignment.owner, alignment.share
    pivot = _pivot(alignment)
    # Scale so that log_scale is 0 for the typical crop.
    typical = alignment.scale.log().median().exp()
    shapes = (alignment.mean, alignment.aligned, alignment.person)
    mean, aligned, person = ((shape - pivot) * typical for shape in shapes)
    residual = (aligned - person[owner]).flatten(1)
    many = alignment.count[owner] > 1
    turning = _explained_by_turning(residual, rotation_angles(alignment.rotation), owner)
    residual = residual - turning
    identity_basis = _principal((person - mean).flatten(1), torch.ones(alignment.owners), IDENTITY)
    expression_basis = _principal(residual[many], share[many], EXPRESSION_SIZE)

    model = MorphableModel()
    model.mean.copy_(mean)
    model.identity_basis.copy_(identity_basis)
    model.expression_basis.copy_(expression_basis)
    model.turning_basis.copy_(_principal(turning[many], share[many], TURNING))
    model.pose_weights.copy_(alignment.weights)
    left = residual[many] - residual[many] @ torch.linalg.pinv(expression_basis) @ expression_basis
    figures = {
        "expression_px": float(HALF_CROP * residual[many].unflatten(-1, (POINTS, 3))[..., :2].norm(dim=-1).mean()),
        "expression_left_px": float(HALF_CROP * left.unflatten(-1, (POINTS, 3))[..., :2].norm(dim=-1).mean()),
    }
    return model, {name: round(value, 4) for name, value in figures.items()}


def _sample(items: list[Item], frames_per_clip: int) -> tuple[Tensor, Tensor]:
    points = [spread_frames(item, frames_per_clip) for item in items]
    owner = np.repeat(np.arange(len(points)), [len(frames) for frames in points])
    return torch.from_numpy(np.concatenate(points)), torch.from_numpy(owner)


def _expressions_of_clips(model: MorphableModel, items: list[Item], frames_per_clip: int) -> list[Tensor]:
    """Expressions (T, 64) of each clip."""
    expressions = []
    for item in items:
        points = torch.from_numpy(item.landmarks())
        motion = model.fit_clip(points[:: max(1, len(points) // frames_per_clip)]).motion
        expressions.append(motion[:, EXPRESSION])
    return expressions


def _pivot(alignment: Alignment) -> Tensor:
    """Point of the head that moves least when the head turns: sum |t + s R o - its clip's mean|^2 minimal over o.

    With the origin there, a turn by itself looks like a turn and translation stays free of rotation.
    """
    centred, share = alignment.centred, alignment.share
    scale, rotation, translation = similarity(alignment.mean.expand_as(centred), centred, alignment.weights)
    moved = scale.view(-1, 1, 1) * rotation

    def within(values: Tensor) -> Tensor:
        return values - alignment.owner_means(values)[alignment.owner]

    # x and y only: depth has no observed translation.
    matrix = (within(moved)[:, :2] * share.sqrt().view(-1, 1, 1)).flatten(0, 1)
    target = -(within(translation)[:, :2] * share.sqrt().view(-1, 1)).flatten()
    return torch.linalg.lstsq(matrix, target.unsqueeze(-1)).solution.squeeze(-1)


def _explained_by_turning(residual: Tensor, angles: Tensor, owner: Tensor) -> Tensor:
    """Part (F, 478 * 3) of the residuals that yaw and pitch predict within each clip, linearly and in squares.

    By clip, since it depends on the person: a wrong depth of somebody's nose shows as a sideways shift that grows with
    yaw. Ridge regression, so that a clip with a still head explains nothing by turning.
    """
    yaw, pitch = angles[:, 0], angles[:, 1]
    predictors = torch.stack([yaw, pitch, yaw.square(), pitch.square(), yaw * pitch], -1)
    still = torch.diag(predictors.new_tensor([1.0, 1.0, 0.1, 0.1, 0.1])) * 0.05**2  # about 3 degrees
    explained = torch.zeros_like(residual)
    for number in range(int(owner.max()) + 1):
        frames = (owner == number).nonzero().squeeze(-1)
        if len(frames) > 1:
            centred = predictors[frames] - predictors[frames].mean(0)
            normal = centred.T @ centred + still * len(frames)
            explained[frames] = centred @ torch.linalg.solve(normal, centred.T @ residual[frames])
    return explained


def _principal(rows: Tensor, weight: Tensor, components: int) -> Tensor:
    """First principal axes (components, 478 * 3) of weighted rows, each times its standard deviation; signs fixed."""
    weighted = (rows * (weight / weight.sum()).sqrt().unsqueeze(-1)).double()
    variance, vectors = torch.linalg.eigh(weighted.T @ weighted)
    # What has no variance to speak of has no direction either: such axes stay zero.
    kept = min(components, int((variance > 1e-9 * variance[-1]).sum()))
    axes = vectors.flip(1).T[:kept] * variance.flip(0)[:kept, None].clamp(min=0.0).sqrt()
    largest = axes.abs().argmax(1, keepdim=True)
    axes = axes * axes.gather(1, largest).sign()
    if len(axes) < components:  # fewer frames than axes: the rest stays zero
        axes = torch.cat([axes, axes.new_zeros(components - len(axes), axes.shape[1])])
    return axes.float()
