"""Stopwatches and reports."""

import time

import pytest

from worker.stages import Stages


def test_time_is_added_up_by_stage() -> None:
    stages = Stages()

    def slow() -> list[int]:
        time.sleep(0.02)
        return [1]

    with stages.run("first"):
        time.sleep(0.02)
    for _ in range(2):
        with stages.timed("second"):
            slow()
    assert list(stages.seconds) == ["first", "second"]
    assert stages.seconds["first"] >= 0.02
    assert stages.seconds["second"] >= 0.04


def test_only_getting_the_items_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    stages, passed, clock = Stages(), 0.0, time.perf_counter
    monkeypatch.setattr("worker.stages.time.perf_counter", lambda: clock() + passed)
    for _ in stages.each("get", [1, 2, 3]):
        passed += 1000
    assert stages.seconds["get"] < 1000


def test_a_report_can_stop_the_job_and_the_time_is_kept() -> None:
    told: list[tuple[str, int, int | None]] = []

    def report(stage: str, done: int, total: int | None) -> None:
        told.append((stage, done, total))
        if stage == "second":
            raise KeyboardInterrupt

    stages = Stages(report)
    with stages.run("first"):
        pass
    with pytest.raises(KeyboardInterrupt), stages.run("second"):
        pass
    assert told == [("first", 0, None), ("second", 0, None)]
    assert list(stages.seconds) == ["first"]
