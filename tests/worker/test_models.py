"""What models are loaded with."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from jobs.settings import read_settings
from model.weights import RENDERER
from model.weights.files import digest_of_cards, read_card, write_card
from worker.models import Models
from worker.settings import WorkerSettings


@pytest.mark.parametrize("data_dir", ["folder", "file", "file/below"])
def test_engines_keep_what_they_compile_where_that_can_be_written(data_dir: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = read_settings(WorkerSettings, data_dir=tmp_path / data_dir)
    with capture_logs() as logs:
        models = Models.of(settings)
    if data_dir == "folder":
        assert models._cache_directory == settings.engine_cache_dir
        assert logs == []
    else:
        assert models._cache_directory is None
        (told,) = logs
        assert told["event"] == "what engines compile is not kept"
        assert told["folder"] == str(settings.engine_cache_dir)


def test_the_digest_tells_weights_from_others(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "same").mkdir()
    for name in (RENDERER, "skinning"):
        for folder in ("old", "same"):
            write_card(name, read_card(name), tmp_path / folder)
    old = Models(directory=tmp_path / "old").digest
    assert Models(directory=tmp_path / "same").digest == old
    assert digest_of_cards("another", tmp_path / "old") != old
    write_card("skinning", {**read_card("skinning"), "sha256": "0"}, tmp_path / "same")
    assert Models(directory=tmp_path / "same").digest != old
    assert Models(directory=tmp_path / "none").digest  # a worker without weights lives, and its jobs say so
