"""Keeps processes together, those of `pirenderer serve` and several of one front-end: starts them, watches them, stops
all of them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import FrameType
from typing import IO

import structlog

from service.running.processes import spawn

log = structlog.get_logger(__name__)

POLL_S = 0.2
END_POLL_S = 0.02
PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # before one that ends again and again is started anew; then the last
STEADY_S = 60.0  # after so long a process is not one of those
STOP_S = 10.0  # twice what a worker gives its job; then it is killed
READY_WITHIN_S = 60.0  # for a process to say that it is ready


@dataclass
class Child:
    """One process: its command, and what it is started with."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]  # all of it
    handed: Sequence[int] = ()  # numbers of files that it shares with us
    oom_score_adj: int = 0  # the greater, the sooner the kernel kills it when memory is short
    renewed: bool = True  # by `renew`
    overlap_s: float | None = None  # it says when it is ready: then the one before has so long to finish its work
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0  # one soon after the other
    due_at: float | None = None  # it is dead, and to be started again then

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def code(self) -> int | None:
        """What it ended with."""
        return None if self.process is None else self.process.poll()

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = self.code
        if code is None:
            return "runs"
        return f"ended with code {code}" if code >= 0 else f"was ended by signal {-code} ({signal.strsignal(-code)})"


class ChildDiedError(Exception):
    """A process ended too often, or before it was ready. `code` is what we end with in turn."""

    def __init__(self, reason: str, code: int = 1) -> None:
        super().__init__(reason)
        self.code = code


class Supervisor:
    """Starts children in order and stops them in the opposite one. Children get sessions of their own, so that Ctrl-C
    reaches only us and the order is kept.

    A child that dies is started again: at once, and after growing pauses when it dies soon each time. `patience` is
    how many such deaths are borne; unset, any number.
    """

    def __init__(self, *, output: IO[bytes] | None = None, patience: int | None = None) -> None:
        self._output = output
        self._patience = patience
        self._children: list[Child] = []
        # No events: a handler of signals that sets one would wait for ever where its signal came while we ask it.
        self._stop = False
        self._hurry = False  # to stop is asked for once more: nobody is waited for
        self._renewal = False
        self._unwatched: Sequence[Child] = ()  # whose end is meant, or seen to elsewhere

    def start(self, child: Child) -> None:
        """Start a child and watch it."""
        self._children.append(child)
        self._spawn(child)

    def start_ready(self, children: Sequence[Child]) -> None:
        """Start children that say when they are ready, wait until all are or a stop is requested, and watch them.

        Raises ChildDiedError: one ended before, or they take too long.
        """
        self._children.extend(children)
        if not self._begin(children) and not self.stopping:
            died = next((child for child in children if not child.alive), None)
            if died is None:
                raise ChildDiedError(f"{children[0].name} was not ready within {READY_WITHIN_S:g} s")
            raise ChildDiedError(f"{died.name} {died.ending} before it was ready", max(1, died.code or 0))

    def request_stop(self) -> None:
        """Let `watch` return."""
        self._stop = True

    def check(self) -> None:
        """Start again what died. Raises ChildDiedError for what died too often."""
        for child in self._children:
            if child.alive or child in self._unwatched:
                continue
            now = time.monotonic()
            if child.due_at is None:
                child.deaths = 1 if now - child.started_at > STEADY_S else child.deaths + 1
                if self._patience is not None and child.deaths > self._patience:
                    raise ChildDiedError(f"{child.name} {child.ending}, as it did {self._patience} times before")
                pause_s = PAUSES_S[min(child.deaths, len(PAUSES_S)) - 1]
                child.due_at = now + pause_s
                log.warning(f"{child.name} {child.ending} and is started again", pause_s=pause_s)
            if now >= child.due_at:
                try:
                    self._spawn(child)
                except OSError as error:  # as when memory is short, which is why it may have died
                    child.due_at = now + PAUSES_S[-1]
                    log.warning(f"{child.name} cannot be started", error=str(error), pause_s=PAUSES_S[-1])

    def watch(self) -> None:
        """Until stop is requested; meanwhile renew when asked to. Raises ChildDiedError."""
        while not self._stop:
            self.check()
            if self._renewal:
                self._renewal = False
                self.renew()
            time.sleep(POLL_S)

    def renew(self) -> None:
        """Put a new process in the place of each that we started, one after another, the last started first.

        Meanwhile the others are watched. Raises ChildDiedError.
        """
        for child in reversed(self._children):
            if not self.stopping and child.process is not None and child.renewed:
                log.info("a process is renewed", process=child.name)
                if child.overlap_s is None:
                    self._unwatched = (child,)
                    self._end((child.name, child.process), within_s=STOP_S)
                    self._spawn(child)
                    self._unwatched = ()
                else:
                    self._succeed(child, child.process, child.overlap_s)

    def stop(self, within_s: float = STOP_S) -> None:
        """Stop all, the last started first, each with SIGTERM and after so many seconds with SIGKILL. Those that stand
        beside others of their kind, as they overlap, are told together."""
        self._stop = True
        for _, group in groupby(reversed(self._children), lambda child: child.overlap_s is not None or child.name):
            running = [(child.name, child.process) for child in group if child.process is not None]
            self._end(*running, within_s=within_s)

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """While the block runs, SIGINT and SIGTERM request a stop, a second one that none is waited for, and SIGUSR2
        a renewal."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGUSR2:
                self._renewal = True
            elif self._stop:
                self._hurry = True
            else:
                self._stop = True

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
        before = {number: signal.signal(number, on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stop

    def _spawn(self, child: Child, **environment: str) -> None:
        child.process = spawn(
            child.command,
            environment={**child.environment, **environment},
            output=self._output,
            handed=child.handed,
            oom_score_adj=child.oom_score_adj,
        )
        child.started_at, child.due_at = time.monotonic(), None

    def _begin(self, children: Sequence[Child]) -> bool:
        """Start children; whether all say in time that they are ready. Others are watched meanwhile."""
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.bind(f"{folder}/ready")
            notices.settimeout(POLL_S)
            self._unwatched = children
            for child in children:
                self._spawn(child, NOTIFY_SOCKET=f"{folder}/ready")
            deadline = time.monotonic() + READY_WITHIN_S
            waiting = len(children)
            while waiting and all(child.alive for child in children):
                if self.stopping or time.monotonic() > deadline:
                    break
                self.check()
                with contextlib.suppress(TimeoutError):
                    waiting -= notices.recv(64) == b"READY=1"
            self._unwatched = ()
            return not waiting

    def _succeed(self, child: Child, before: subprocess.Popen[bytes], finish_s: float) -> None:
        """Start the child anew beside the process before it, which ends when the new one is ready; else it goes on."""
        if self._begin((child,)):
            self._unwatched = ()
            self._end((child.name, before), within_s=finish_s)
            return
        log.error("a new process does not begin; the one before goes on", process=child.name)
        if child.process is not None:
            self._end((child.name, child.process), within_s=STOP_S)
        child.process = before

    def _end(self, *processes: tuple[str, subprocess.Popen[bytes]], within_s: float) -> None:
        """Stop processes with SIGTERM, and after so many seconds with SIGKILL."""
        for _, process in processes:
            process.terminate()  # nothing where it has ended
        deadline = time.monotonic() + within_s
        for name, process in processes:
            while process.poll() is None:
                if not self.stopping:
                    self.check()
                time.sleep(END_POLL_S)
                if self._hurry or time.monotonic() > deadline:
                    log.warning("a process does not stop and is killed", process=name)
                    # the whole session: a worker's own child must not outlive it
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def cli_command(*arguments: str) -> list[str]:
    """Our own command line, run by this Python."""
    return [sys.executable, "-m", "service.cli", *arguments]
