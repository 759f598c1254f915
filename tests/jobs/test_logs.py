"""Lines go where the standard error stream is when they are logged."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from jobs.logs import configure_logging


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


class Terminal(io.StringIO):
    """Shows what is written to it, as a terminal would."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_nothing_steers_it_however_deep_it_lies(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    configure_logging()
    bad = "\x1b[2J\x9b\r\n2026-11-29 [info] forged\u202e\u2028\ud800"

    class Odd:
        def __repr__(self) -> str:
            return bad

    def fail() -> None:
        raise ValueError(bad)

    log = structlog.get_logger("jobs")
    log.info(bad, text=bad, nested={"a": [bad, {bad: (bad,)}]}, odd=Odd(), number=1.5, flag=True, none=None)
    root.warning("plain %s", bad)
    try:
        fail()
    except ValueError:
        log.exception("it failed")
        root.exception(bad)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    assert not re.search(r"[^\n -\uffff]|[\x7f-\x9f\u202e\u2028\ud800]", shown)
    lines = shown.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT|    ", line) for line in lines), lines
    assert "Traceback" in shown
    assert shown.count(r"\x1b[2J\x9b\r\n2026-11-29 [info] forged") >= 3
    assert "number=1.5" in shown
    assert "flag=True" in shown
