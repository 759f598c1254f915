"""The ranges of eight-bit convolutions, found on held-out people and written to the card."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.renderer.released import load_renderer
from model.weights import RENDERER
from service.cli import app
from tests.support.tiny_weights import write_tiny_weights

pytestmark = pytest.mark.slow


def test_ranges_and_nearness_are_written_to_the_card(tiny_corpus: Path, tmp_path: Path) -> None:
    folder = write_tiny_weights(tmp_path)
    before = json.loads((folder / f"{RENDERER}.json").read_text())
    command = ["weights", "calibrate", "--data", str(tiny_corpus), "--directory", str(folder), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout[result.stdout.index("{\n") :])
    card = json.loads((folder / f"{RENDERER}.json").read_text())
    found = card.pop("int8")
    assert card == before
    assert (found["frames"], found["psnr_db"]) == (told["frames"], told["psnr_db_worst"])
    assert told["frames"] > 0
    assert 20 < told["psnr_db_worst"] <= told["psnr_db_mean"] < 100
    assert all(low < high for low, high in found["ranges"].values())
    load_renderer(RENDERER, folder)
