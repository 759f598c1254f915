"""What the figures say of readings and finds whose worth is known."""

import json
import math

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from model.cli import evaluate as commands
from model.evaluation.extractor import finding, reading, scenes, speed
from model.evaluation.extractor.finding import Tally, finding_figures
from model.evaluation.extractor.portraits import LabelledPortrait
from model.evaluation.extractor.reading import Readings, auroc, confidence_figures, landmark_figures


def readings(morphable, error_px, confidence):
    """Faces read with all landmarks off by `error_px` (N,) to the right."""
    count = len(error_px)
    torch.manual_seed(0)
    motion = 0.4 * torch.randn(count, 70)
    motion[:, 64:] *= 0.3
    truth = morphable.landmarks(0.7 * torch.randn(count, 80), motion).numpy()
    found = truth.copy()
    found[..., 0] += np.asarray(error_px, np.float32)[:, None]
    return Readings(truth, found, np.ones(count), np.asarray(confidence, float), np.asarray(error_px, float))


def test_landmarks_off_by_a_shift_are_off_by_it_and_turned_by_nothing(morphable):
    figures = landmark_figures(readings(morphable, [1, 2, 3, 6], [1, 1, 1, 1]), morphable)
    assert figures["frames"] == 4
    assert figures["landmark_px"] == pytest.approx(3, abs=1e-3)
    assert figures["landmark_px_median"] == pytest.approx(2.5, abs=1e-3)
    assert figures["mouth_px"] == pytest.approx(3, abs=1e-3)
    assert figures["eyes_px"] == pytest.approx(3, abs=1e-3)
    assert figures["yaw_degrees"] < 0.1
    assert figures["mouth_opening_correlation"] == pytest.approx(1, abs=1e-3)


def test_turned_faces_are_judged_apart(morphable):
    some = readings(morphable, [1, 1, 1, 4], [1, 1, 1, 1])
    motion = torch.zeros(1, 70)
    motion[0, 64] = np.radians(50)
    some.truth[3] = morphable.landmarks(torch.zeros(1, 80), motion)[0].numpy()
    some.found[3] = some.truth[3] + np.array([0, 4, 0], np.float32)
    figures = landmark_figures(some, morphable)
    assert figures["turned_frames"] == 1
    assert figures["turned_landmark_px"] == pytest.approx(4, abs=1e-3)
    assert figures["turned_yaw_degrees"] < 0.1
    assert "turned_landmark_px" not in landmark_figures(readings(morphable, [1, 2], [1, 1]), morphable)


def test_confidence_that_knows_and_confidence_that_does_not(morphable):
    error = np.linspace(1, 10, 40)
    knows = confidence_figures(readings(morphable, error, 1 / error))
    assert knows["confidence_error_correlation"] == pytest.approx(-1)
    assert knows["expected_error_correlation"] == pytest.approx(1)
    assert knows["worst_tenth_doubted"] == 1
    boasts = confidence_figures(readings(morphable, error, error / 10))
    assert boasts["confidence_error_correlation"] == pytest.approx(1)
    assert boasts["worst_tenth_doubted"] == 0


def test_the_area_under_the_curve():
    low, high = np.array([0.1, 0.2]), np.array([0.8, 0.9])
    assert (auroc(high, low), auroc(low, high), auroc(low, low)) == (1.0, 0.0, 0.5)
    assert auroc(np.array([0.1, 0.9]), np.array([0.5])) == 0.5


def test_tallies_add_up():
    tally = sum([Tally(1, 1, 1, 0), Tally(1, 3, 2, 1)], Tally())
    assert tally == Tally(2, 4, 3, 1)
    assert tally.recall == 0.75


@pytest.mark.slow
def test_finding_is_judged_by_size_tilt_turn_and_condition(extractor, portrait, monkeypatch):
    monkeypatch.setattr(finding, "SCENES_PER_STILL", 5)  # of two people, so that each size comes with each tilt
    monkeypatch.setattr(scenes, "LONGEST", 400)
    found = extractor.extract(portrait)
    people = [LabelledPortrait(found.image, found.landmarks)] * 2
    turned = [LabelledPortrait(found.image, found.landmarks, yaw) for yaw in (10.0, -50.0)]
    figures = finding_figures(extractor, people, turned, np.random.default_rng(0))
    assert figures["scenes"] == 10
    assert figures["recall"] >= 9 / 10
    expected = {
        "recall_60_to_110_px",
        "recall_220_to_950_px",
        "recall_tilted_30_to_45_degrees",
        "recall_turned_0_to_30_degrees",
        "recall_turned_45_to_90_degrees",
        "recall_dark",
        "recall_grey",
        "recall_compressed",
        "recall_sunglasses",
        "false_finds_per_scene_with_face",
        "false_finds_per_scene_without_face",
        "several_recall",
        "several_counted_by_size",
    }
    assert expected <= figures.keys()
    assert all(0 <= value <= 1 for name, value in figures.items() if name.startswith("recall"))
    assert figures["scenes_without_face"] == 6


@pytest.mark.slow
def test_the_command_prints_every_subject(tiny_corpus, monkeypatch):
    monkeypatch.setattr(finding, "SCENES_PER_STILL", 2)
    monkeypatch.setattr(scenes, "LONGEST", 400)
    monkeypatch.setattr(reading, "ELSEWHERE", 16)
    monkeypatch.setattr(speed, "REPEATS", 2)
    monkeypatch.setattr(speed, "VIDEO_FRAMES", 12)
    result = CliRunner().invoke(commands, ["extractor", "--data", str(tiny_corpus), "--json"])
    assert result.exit_code == 0, result.output
    tables = json.loads(result.stdout)
    assert list(tables) == ["morphable", "clips", "stills", "together", "finding", "speed"]
    assert tables["clips"]["frames"] == 12
    assert tables["stills"]["frames"] == 1
    assert tables["together"]["frames"] == 13
    assert tables["speed"]["weights_mb"] > 1
    assert tables["speed"]["look_ms"] > 0
    numbers = [value for table in tables.values() for value in table.values() if isinstance(value, float)]
    assert all(math.isfinite(value) for value in numbers)


def test_missing_weights_end_the_command_with_a_word(tiny_corpus, tmp_path):
    result = CliRunner().invoke(commands, ["extractor", "--data", str(tiny_corpus), "--weights", str(tmp_path)])
    assert result.exit_code == 1
    assert "extractor" in result.output
