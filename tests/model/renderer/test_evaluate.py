"""Judging a renderer on synthetic heads: the tables, the baselines and their text."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from model.cli import evaluate as command
from model.extractor import Extractor
from model.extractor.smoothing import smoothed
from model.metrics.arcface import ArcFace
from model.morphable import MorphableModel
from model.renderer.evaluate import evaluate
from model.renderer.heldout import RUN, held_out_clip, held_out_items, held_out_stills
from model.renderer.judge import Judge, Reading, landmark_px
from model.renderer.report import as_text, with_scales
from tests.model.metrics.test_arcface import mean_colours

SAME = {"psnr", "ssim", "l1", "sharpness", "l1_mouth", "aed", "apd", "identity", "landmark_px", "flicker"}


@pytest.fixture(scope="module")
def tables(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The released renderer's, in float32, with one more comparison; sheet.png beside the corpus."""
    largest = lambda ours, theirs: np.abs(ours.astype(int) - theirs).max((1, 2, 3))  # noqa: E731
    sheet = tmp_path_factory.mktemp("evaluation") / "sheet.png"
    recognition = ArcFace(mean_colours(sheet.parent))
    found = evaluate(tiny_corpus, engine="torch", sheet=sheet, more={"largest": largest}, recognition=recognition)
    picture = cv2.imread(str(sheet))
    assert picture.shape == (24 + 256, 6 * 256, 3)  # the one held-out photo, itself and five motions
    return found


@pytest.mark.slow
def test_same_identity_has_all_figures_and_the_baselines_stand_where_they_must(tables: dict[str, Any]) -> None:
    same = tables["same_identity"]
    assert same["clips"] == 2
    assert set(same["renderer"]) == SAME | {"largest", "arcface"}
    assert same["mesh"]["psnr"] > same["copy"]["psnr"]
    assert same["mesh"]["landmark_px"] < same["copy"]["landmark_px"]
    assert same["copy"]["flicker"] == 0
    assert same["copy"]["identity"] > same["mesh"]["identity"] - 0.05
    assert same["renderer"]["largest"] > 0
    assert same["copy"]["arcface"] > 0.99
    assert 0.9 < same["renderer"]["arcface"] < 1


@pytest.mark.slow
def test_cross_identity_and_controls_are_there(tables: dict[str, Any]) -> None:
    cross = tables["cross_identity"]
    assert set(cross["renderer"]) == {"aed", "apd", "identity", "sharpness", "flicker", "arcface"}
    assert "mesh" not in cross  # nobody knows where the landmarks truly are
    assert cross["copy"]["sharpness"] == pytest.approx(1)
    controls = tables["controls"]
    assert controls["stills"] == 1
    assert controls["yaw_plus_20_asked"] == pytest.approx(20, abs=0.01)


@pytest.mark.slow
def test_every_figure_has_its_scale_beside_it(tables: dict[str, Any]) -> None:
    told = with_scales(tables)
    assert {name: told[name] for name in tables} == tables
    assert set(told["scales"]) == SAME | {"arcface"}
    assert "unit variance" in told["scales"]["aed"]
    assert "degrees" in told["scales"]["apd"]


@pytest.mark.slow
def test_the_text_has_a_row_for_each_method(tables: dict[str, Any]) -> None:
    text = as_text(tables)
    blocks = dict(zip(tables, text.split("\n\n"), strict=True))
    rows = [line.split()[0] for line in blocks["same_identity"].splitlines()[2:]]
    assert rows == ["renderer", "mesh", "prior", "copy"]
    assert f"{tables['same_identity']['mesh']['psnr']:.3f}" in blocks["same_identity"]
    assert "yaw_plus_20_asked" in blocks["controls"]


def test_a_held_out_clip_starts_with_its_portrait(tiny_corpus: Path, morphable: MorphableModel) -> None:
    items = held_out_items(tiny_corpus)
    assert len(items) == 2
    clip = held_out_clip(items[0], morphable)
    assert 0 not in clip.frames
    np.testing.assert_array_equal(clip.portrait.image, clip.pictures[0])
    np.testing.assert_array_equal(clip.portrait.landmarks, items[0].landmarks()[0])
    np.testing.assert_array_equal(clip.landmarks, list(smoothed(items[0].landmarks())))
    assert len(clip.run) == RUN
    assert np.diff(clip.run).tolist() == [1] * (RUN - 1)
    assert len(held_out_items(tiny_corpus, clips=1)) == 1
    assert len(list(held_out_stills(tiny_corpus, morphable))) == 1


def test_obedience_is_in_degrees_and_unit_coefficients() -> None:
    still = Reading(np.zeros((2, 478, 3)), np.ones((2, 80)), np.zeros((2, 70)))
    motion = np.zeros((2, 70))
    motion[:, :64], motion[0, 64] = 0.5, np.radians(9)
    moved = Reading(np.full((2, 478, 3), [3.0, 4.0, 7.0]), -np.ones((2, 80)), motion)
    figures = Judge.obedience(moved, still, still)
    np.testing.assert_allclose(figures["aed"], 0.5)
    np.testing.assert_allclose(figures["apd"], [3, 0])
    np.testing.assert_allclose(figures["identity"], -1)
    np.testing.assert_allclose(landmark_px(moved, still), 5)


@pytest.mark.slow
def test_what_is_read_from_a_still_is_near_its_landmarks(tiny_corpus: Path, morphable: MorphableModel) -> None:
    clip = held_out_clip(held_out_items(tiny_corpus)[0], morphable)
    judge = Judge(Extractor.load())
    target = clip.shown(clip.frames)
    figures = judge.likeness(target, target, clip.landmarks[clip.frames])
    assert (figures["l1_mouth"] == 0).all()
    assert np.isinf(figures["psnr"]).all()
    seen = judge.read(target, clip.landmarks[clip.frames], clip.portrait.identity)
    assert seen.landmarks.shape == (len(clip.frames), 478, 3)
    assert (landmark_px(seen, seen) == 0).all()


def test_the_command_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["renderer", "--data", str(tmp_path), "--json"])
    assert result.exit_code == 1
    assert "no index.csv in" in result.output
    (tmp_path / "lpips.pth").write_bytes(b"not weights")
    arguments = ["renderer", "--data", str(tmp_path), "--lpips", str(tmp_path / "lpips.pth")]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    assert "lpips.pth cannot be read" in result.output
