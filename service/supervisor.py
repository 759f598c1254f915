"""Keeps the processes of `pirenderer serve` together: starts them, watches them, stops all of them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

import structlog

from service.processes import spawn

log = structlog.get_logger(__name__)

POLL_S = 0.2
RESTARTS = 5  # within the window; more, and the child is not worth another
RESTART_WINDOW_S = 120.0
STOP_S = 10.0  # twice what a worker gives its job; then it is killed


@dataclass
class Child:
    """One process: its command, and whether it is started again when it dies."""

    name: str
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of ours
    restart: bool = False
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None


class ChildDiedError(Exception):
    """A process ended that must not, or ended too often."""


class Supervisor:
    """Starts children in order and stops them in the opposite one. Children get sessions of their own, so that Ctrl-C
    reaches only us and the order is kept."""

    def __init__(self, *, output: IO[bytes] | None = None) -> None:
        self._output = output
        self._children: list[Child] = []
        self._stop = threading.Event()

    def adopt(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Watch a process that runs already."""
        self._children.append(Child(name, process=process))

    def start(self, child: Child) -> None:
        """Start a child and watch it."""
        self._children.append(child)
        self._spawn(child)

    def request_stop(self) -> None:
        """Let `watch` return."""
        self._stop.set()

    def check(self) -> None:
        """Start again what died and may be; raise ChildDiedError for what may not."""
        for child in self._children:
            if child.alive or child.process is None:
                continue
            code = child.process.returncode
            now = time.monotonic()
            often = len(child.deaths) == RESTARTS and now - child.deaths[0] < RESTART_WINDOW_S
            child.deaths.append(now)
            if not child.restart or often:
                again = f", as it did {RESTARTS} times before within {RESTART_WINDOW_S:g} s" if often else ""
                raise ChildDiedError(f"{child.name} ended with code {code}{again}")
            log.warning("a process ended and is started again", process=child.name, code=code)
            self._spawn(child)

    def watch(self) -> None:
        """Until stop is requested. Raises ChildDiedError."""
        while not self._stop.wait(POLL_S):
            self.check()

    def stop(self) -> None:
        """Stop all, the last started first, each with SIGTERM and after a while with SIGKILL."""
        for child in reversed(self._children):
            process = child.process
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                log.warning("a process does not stop and is killed", process=child.name)
                # the whole session: a worker's own child must not outlive it
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """While the block runs, SIGINT and SIGTERM request a stop."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            self.request_stop()

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stop.is_set()

    def _spawn(self, child: Child) -> None:
        child.process = spawn(child.command, environment=child.environment, output=self._output)


def cli_command(*arguments: str) -> list[str]:
    """Our own command line, run by this Python."""
    return [sys.executable, "-m", "service.cli", *arguments]
