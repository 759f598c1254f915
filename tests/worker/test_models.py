"""What models are loaded with."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from jobs.settings import read_settings
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
