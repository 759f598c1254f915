"""Lines go where the standard error stream is when they are logged."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.jobs.logs import configure_logging


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as before when the test is over."""
    root = logging.getLogger()
    handlers, level, configured = list(root.handlers), root.level, structlog.get_config()
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configured)


def test_a_stream_that_was_closed_meanwhile_is_not_written_to(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", first)
    configure_logging()
    root.info("one")
    assert json.loads(first.getvalue())["event"] == "one"
    first.close()
    monkeypatch.setattr("sys.stderr", second)
    structlog.get_logger("jobs").info("two", job="abc")
    line = json.loads(second.getvalue())
    assert (line["event"], line["job"], line["level"], line["logger"]) == ("two", "abc", "info", "jobs")
