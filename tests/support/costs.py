"""What each test costs: seconds of processor time, of this process and of those that it started. Unlike a clock, a busy
machine hardly changes them, so what is marked as slow can be held to them (`--costs`)."""

import contextlib
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

SLOW_S = 3.0
"""An unmarked test may take so long; those of more than a second are to be marked."""


def processor_seconds(process: int | str = "self") -> float:
    """Of a process, its descendants, and those of them that have ended."""
    folder = Path(f"/proc/{process}")
    with contextlib.suppress(OSError):  # it may end meanwhile
        times = (folder / "stat").read_text().rpartition(")")[2].split()[11:15]
        children = [child for path in folder.glob("task/*/children") for child in path.read_text().split()]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK") + sum(map(processor_seconds, children))
    return 0.0


class Costs:
    """A plugin that lists the dearest tests and fails the slow ones that are not marked as such.

    What wider fixtures cost counts for no test: whichever comes first pays for them.
    """

    def __init__(self, shown: int) -> None:
        self._shown = shown
        self._seen = 0.0
        self._shared = 0.0
        self._of_test = 0.0
        self._costs: Counter[str] = Counter()

    def pytest_collection_finish(self) -> None:
        """From here on count for tests."""
        self._seen = processor_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        """Take apart what a fixture of several tests costs."""
        if fixturedef.scope == "function":
            return (yield)
        before = processor_seconds()
        try:
            return (yield)
        finally:
            self._shared += processor_seconds() - before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Count each phase; judge the test after its last."""
        report = yield
        before, self._seen = self._seen, processor_seconds()
        spent = self._seen - before - self._shared
        self._of_test = spent if call.when == "setup" else self._of_test + spent
        report.costs = {report.nodeid: spent, f"{report.fspath}, shared": self._shared}
        self._shared = 0.0
        unmarked = not any(item.get_closest_marker(name) for name in ("slow", "alone"))
        if call.when == "teardown" and report.passed and unmarked and self._of_test > SLOW_S:
            report.outcome = "failed"
            report.longrepr = f"took {self._of_test:.1f} s of processor time: mark it as slow, or make it faster"
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what all lanes counted."""
        self._costs.update(report.costs)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The dearest tests."""
        terminalreporter.section(f"{sum(self._costs.values()):.0f} s of processor time, of that")
        for test, seconds in self._costs.most_common(self._shown):
            terminalreporter.line(f"{seconds:8.2f} s  {test}")
