"""The offline commands resolve their configurations and say what is wrong with them."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.cli import TRAININGS, evaluate, train, weights
from model.renderer.config import RendererConfig
from model.training.renderer.grow import check_wider
from model.training.renderer.recipe import RendererTrainingConfig
from model.weights import RENDERER
from model.weights.files import load_weights
from tests.support.paths import ROOT

RUNNER = CliRunner()
FOLDERS = ["--data", "nowhere", "--out", "nowhere"]


@pytest.mark.parametrize("name", TRAININGS)
def test_dry_run_prints_the_resolved_configuration(name: str, tmp_path: Path) -> None:
    result = RUNNER.invoke(train, [name, *FOLDERS, "--dry-run"])
    assert result.exit_code == 0, result.output
    json.loads(result.stdout)
    assert not Path("nowhere").exists()


def test_a_file_overrides_defaults_and_unknown_keys_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("frames_per_clip = 7\n")
    arguments = ["morphable", *FOLDERS, "--config", str(tmp_path / "config.toml"), "--dry-run"]
    assert json.loads(RUNNER.invoke(train, arguments).stdout)["frames_per_clip"] == 7
    (tmp_path / "config.toml").write_text("frames_a_clip = 7\n")
    refused = RUNNER.invoke(train, arguments)
    assert refused.exit_code == 2
    assert "frames_a_clip" in refused.output


@pytest.mark.parametrize(
    ("name", "said"), [("continue", "model/weights"), ("full", "model/weights"), ("overfit", None)]
)
def test_the_configurations_in_the_docs_load(name: str, said: str | None) -> None:
    shipped = ROOT / "docs" / f"renderer-{name}.toml"
    result = RUNNER.invoke(train, ["renderer", *FOLDERS, "--config", str(shipped), "--dry-run"])
    assert json.loads(result.stdout)["start_from"] == said


def test_the_released_renderer_fits_the_configurations_that_start_from_it() -> None:
    _, card = load_weights(RENDERER)
    released = RendererConfig.model_validate(card["config"])
    docs = ROOT / "docs"
    assert (
        released
        == RendererTrainingConfig.model_validate(tomllib.loads((docs / "renderer-continue.toml").read_text())).network
    )
    grown = RendererTrainingConfig.model_validate(tomllib.loads((docs / "renderer-full.toml").read_text())).network
    check_wider(released, grown)


def test_a_folder_that_is_no_corpus_is_named(tmp_path: Path) -> None:
    result = RUNNER.invoke(train, ["morphable", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "no index.csv in" in result.output


def test_a_folder_without_videos_is_no_corpus_to_be(tmp_path: Path) -> None:
    arguments = ["prepare", str(tmp_path), "--out", str(tmp_path / "out"), "--licence", "CC0"]
    result = RUNNER.invoke(train, arguments)
    assert result.exit_code == 1
    assert "no videos below" in result.output


@pytest.mark.parametrize("name", ["extractor", "renderer", "audio"])
def test_evaluations_exist(name: str) -> None:
    assert RUNNER.invoke(evaluate, [name, "--help"]).exit_code == 0


def test_inspect_says_what_is_no_weights_file(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"not weights")
    result = RUNNER.invoke(weights, ["inspect", str(tmp_path / "x.safetensors")])
    assert result.exit_code == 1
    assert "x.safetensors" in result.output
