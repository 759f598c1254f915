"""Figures of the morphable model, on motions whose leak is known."""

from pathlib import Path

import pytest
import torch

from model.evaluation.morphable.evaluate import held_out_figures, yaw_leak
from model.morphable import MorphableModel


def unrelated(clips: int) -> list[torch.Tensor]:
    """Motions (50, 70) a clip in which nothing follows anything."""
    generator = torch.Generator().manual_seed(0)
    motions = torch.randn(clips, 50, 70, generator=generator)
    motions[..., 64:67] *= 0.3
    return list(motions)


def test_what_follows_yaw_is_seen_and_sized(morphable: MorphableModel) -> None:
    motions = unrelated(40)
    independent = yaw_leak(morphable, motions)
    assert independent["yaw_expression_correlation_worst"] < 0.1
    assert independent["yaw_expression_correlation_from_0.2"] == 0
    for motion in motions:
        motion[:, 7] = 2.0 * motion[:, 64]
    leaking = yaw_leak(morphable, motions)
    assert leaking["yaw_expression_correlation_worst"] == pytest.approx(1.0, abs=1e-3)
    assert leaking["yaw_expression_correlation_from_0.2"] == 1
    # 30 degrees bring 2 * 0.524 of the coefficient, besides the little that chance makes follow
    row = morphable.expression_basis[7].unflatten(-1, (478, 3))[:, :2]
    expected = float(2.0 * torch.pi / 6 * 128.0 * row.norm(dim=-1).mean())
    assert leaking["yaw_moves_px"] == pytest.approx(expected, rel=0.2)


def test_chance_is_larger_the_fewer_clips_there_are(morphable: MorphableModel) -> None:
    few, many = (yaw_leak(morphable, unrelated(clips))["yaw_expression_correlation_by_chance"] for clips in (3, 40))
    assert 0 < many < few < 1


def test_a_mean_look_to_one_side_is_no_leak(morphable: MorphableModel) -> None:
    motions = unrelated(40)
    for number, motion in enumerate(motions):
        motion[:, 64] += 0.05 * number
        motion[:, 7] += number
    assert yaw_leak(morphable, motions)["yaw_expression_correlation_worst"] < 0.1


def test_figures_of_a_corpus(tiny_corpus: Path, morphable: MorphableModel) -> None:
    figures = held_out_figures(morphable, tiny_corpus)
    assert figures["held_out_people"] == 3
    assert figures["held_out_frames"] == 41
    # its landmarks were made by the model and rounded to quarter pixels; the fit's prior shrinks what it finds
    assert 0 < figures["held_out_error_px"] < 1.0
    assert figures["held_out_error_px"] <= figures["held_out_error_px_95th"] <= figures["held_out_error_px_worst"]
    assert 0 <= figures["yaw_beyond_30_degrees"] <= 1
