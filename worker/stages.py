"""The stages of a job: each is timed, and reported to whoever waits."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")

Check = Callable[[], None]


class Report(Protocol):
    """Told where a job is, between batches. It may raise to stop the job: that is how a job is canceled."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """`done` of `total` units of a stage are finished; total is None where it cannot be counted."""
        ...


def unreported(stage: str, done: int, total: int | None) -> None:
    """A report for when nobody waits."""


def unchecked() -> None:
    """A check for when nobody wants to stop the work."""


class Stages:
    """Stopwatches by stage; `seconds` holds what each has taken so far, in the order they began, and `spans` when each
    began first and ended last, in seconds since 1970.

    `check` is called where something is waited for between reports, and may raise like them.

    Two threads may time, each its own stages: then stages overlap, and their sum is more than the time that passed.
    """

    def __init__(self, report: Report = unreported) -> None:
        self.report = report
        self.check: Check = unchecked
        self.seconds: dict[str, float] = {}
        self.spans: dict[str, tuple[float, float]] = {}

    @contextmanager
    def run(self, stage: str) -> Iterator[None]:
        """Report a stage as begun and time the block."""
        self.report(stage, 0, None)
        with self.timed(stage):
            yield

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's time to a stage without a report."""
        start, began = time.perf_counter(), time.time()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
            first, _ = self.spans.get(stage, (began, began))
            self.spans[stage] = first, time.time()

    def each(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Pass items through, timing only what it takes to get them."""
        iterator = iter(items)
        while True:
            with self.timed(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
