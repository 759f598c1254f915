"""Figures of the morphable model on people it was not built from: how near it comes, and how far yaw leaks."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.arrays import Array
from model.data.corpus import Item, read_corpus
from model.morphable.basis import ANGLES, EXPRESSION, HALF_CROP, MorphableModel
from model.morphable.controls import MEASURES

FRAMES_PER_CLIP = 20  # for the error, so that long clips do not decide it alone
LEAK_STEP = 5  # every so many frames of a clip for the leak
LEAKS = 0.2  # correlation from which on a coefficient counts as leaking
CHANCE_DRAWS = 200
TURNED_YAW = 30.0  # degrees from which on a head counts as turned


def held_out_figures(model: MorphableModel, data: Path) -> dict[str, float]:
    """Figures on the real people (generated = 0) of a corpus' val split.

    held_out_error_px: mean distance, in crop units, between landmarks and the model fitted to each frame by
    itself, on at most FRAMES_PER_CLIP frames a clip. yaw_...: see `yaw_leak`; clips are fitted with one identity each.

    Raises DataError: the corpus is not readable.
    """
    items = [item for item in read_corpus(data, split="val") if not item.generated]
    error = model.fit(
        torch.from_numpy(np.concatenate([spread_frames(item, FRAMES_PER_CLIP) for item in items]))
    ).error_px
    motions = [
        model.fit_clip(torch.from_numpy(item.landmarks()[::LEAK_STEP])).motion for item in items if item.kind == "clip"
    ]
    figures = {
        "held_out_people": float(len({item.person for item in items})),
        "held_out_frames": float(len(error)),
        "held_out_error_px": float(error.mean()),
        "held_out_error_px_95th": float(error.quantile(0.95)),
        "held_out_error_px_worst": float(error.max()),
    }
    return {name: round(value, 4) for name, value in (figures | yaw_leak(model, motions)).items()}


def yaw_leak(model: MorphableModel, motions: list[Tensor]) -> dict[str, float]:
    """How far expressions follow yaw within clips of motions (T, 70): correlations over all frames together.

    yaw_expression_correlation_worst: the largest of any coefficient with yaw; ..._from_0.2: how many reach LEAKS.
    ..._by_chance: what the largest stays below in 95 of 100 draws in which each clip's yaw has a random sign, all else
    being as it is. yaw_measure_correlation_worst: the same for the measures of the named controls.
    yaw_moves_px: how far landmarks move on average by the expression that goes with 30 degrees of yaw.
    yaw_beyond_30_degrees: share of the frames.
    """
    yaws = [motion[:, ANGLES.start] - motion[:, ANGLES.start].mean() for motion in motions]
    expressions = [motion[:, EXPRESSION] - motion[:, EXPRESSION].mean(0) for motion in motions]
    together, turned = torch.cat(expressions), torch.cat(yaws)
    norms = together.norm(dim=0).clamp(min=1e-9) * turned.norm().clamp(min=1e-9)
    per_clip = torch.stack([yaw @ bent for yaw, bent in zip(yaws, expressions, strict=True)])  # (clips, 64)
    correlation = (per_clip.sum(0) / norms).abs()
    signs = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], (CHANCE_DRAWS, len(motions)))).float()
    by_chance = ((signs @ per_clip) / norms).abs().amax(1)
    measured = together @ (torch.stack([measure.vector() for measure in MEASURES]) @ model.expression_basis.T).T
    of_measures = (turned @ measured) / (measured.norm(dim=0).clamp(min=1e-9) * turned.norm().clamp(min=1e-9))
    slope = per_clip.sum(0) / turned.square().sum().clamp(min=1e-9)  # expression a radian
    moved = (np.radians(TURNED_YAW) * slope @ model.expression_basis).unflatten(-1, (-1, 3))[:, :2] * HALF_CROP
    degrees = torch.cat([motion[:, ANGLES.start] for motion in motions]).abs().rad2deg()
    return {
        "yaw_frames": float(len(degrees)),
        "yaw_beyond_30_degrees": float((degrees > TURNED_YAW).float().mean()),
        "yaw_largest_degrees": float(degrees.max()),
        "yaw_expression_correlation_worst": float(correlation.max()),
        "yaw_expression_correlation_from_0.2": float((correlation >= LEAKS).sum()),
        "yaw_expression_correlation_by_chance": float(by_chance.quantile(0.95)),
        "yaw_measure_correlation_worst": float(of_measures.abs().max()),
        "yaw_moves_px": float(moved.norm(dim=-1).mean()),
    }


def spread_frames(item: Item, count: int) -> Array:
    """Landmarks (T, 478, 3) of at most `count` frames, evenly spread over the clip."""
    landmarks = item.landmarks()
    return landmarks[np.unique(np.linspace(0, len(landmarks) - 1, min(len(landmarks), count)).astype(int))]
