"""Processes that are put in the place of others."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from service.running import supervisor as supervising
from service.running.supervisor import STEADY_S, Child, ChildDiedError, Supervisor

PROCESS = """
import os, pathlib, socket, sys, time
if not pathlib.Path("well").exists():
    sys.exit(1)
if "NOTIFY_SOCKET" in os.environ:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(60)
"""

SLOW_TO_END = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit()))
{PROCESS}
"""


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.chdir(tmp_path)
    Path("well").touch()
    supervisor = Supervisor()
    yield supervisor
    supervisor.stop()


@pytest.mark.parametrize("overlap_s", [None, 5.0])
def test_a_new_process_takes_the_place_of_the_old_one(supervisor: Supervisor, overlap_s: float | None) -> None:
    child = Child("a process", [sys.executable, "-c", PROCESS], os.environ, overlap_s=overlap_s)
    supervisor.start(child)
    before = child.process
    supervisor.renew()
    assert before is not None
    assert before.poll() is not None
    assert child.process is not before
    assert child.alive
    supervisor.check()


def test_one_that_cannot_begin_leaves_the_old_one_in_its_place(supervisor: Supervisor) -> None:
    child = Child("a process", [sys.executable, "-c", PROCESS], os.environ, overlap_s=5.0)
    supervisor.start(child)
    before = child.process
    time.sleep(0.5)  # it has begun
    Path("well").unlink()
    supervisor.renew()
    assert child.process is before
    supervisor.check()
    assert child.alive


@pytest.mark.parametrize("overlap_s", [None, 5.0])
def test_others_are_watched_while_one_is_renewed(supervisor: Supervisor, overlap_s: float | None) -> None:
    other = Child("the other", [sys.executable, "-c", PROCESS], os.environ)
    supervisor.start(other)
    supervisor.start(Child("a process", [sys.executable, "-c", SLOW_TO_END], os.environ, overlap_s=overlap_s))
    time.sleep(1)  # it has begun
    before = other.process
    assert before is not None
    killer = threading.Timer(0.2, before.kill)
    killer.start()
    other.renewed = False
    supervisor.renew()
    killer.join()
    assert other.process is not before
    assert other.alive


def test_one_that_dies_again_and_again_is_started_after_growing_pauses(supervisor: Supervisor) -> None:
    Path("well").unlink()
    child = Child("a process", [sys.executable, "-c", PROCESS], os.environ)
    supervisor.start(child)
    pauses = []
    for _ in range(3):
        assert child.process is not None
        child.process.wait(10)
        died_at = time.monotonic()
        supervisor.check()
        pauses.append(0.0 if child.due_at is None else round(child.due_at - died_at))
        while child.due_at is not None:
            supervisor.check()
            time.sleep(0.01)
        if pauses[-1]:
            assert time.monotonic() - died_at >= pauses[-1]
    assert pauses == [0, 1, 2]
    Path("well").touch()
    child.started_at -= STEADY_S  # as if it had run so long
    assert child.process is not None
    child.process.kill()
    child.process.wait(10)
    supervisor.check()
    assert child.alive


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    supervisor = Supervisor(patience=1)
    child = Child("a process", [sys.executable, "-c", PROCESS], os.environ)
    supervisor.start(child)
    assert child.process is not None
    child.process.wait(10)
    supervisor.check()
    child.process.wait(10)
    with pytest.raises(ChildDiedError, match="a process ended with code 1, as it did 1 times before"):
        supervisor.check()


@pytest.mark.timeout(20)
def test_a_signal_is_heard_wherever_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "POLL_S", 0.001)
    before = sys.gettrace()
    for moment in range(1, 40):  # each line of a few rounds
        supervisor, lines = Supervisor(), 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal lines
            lines += 1
            if lines == moment:  # noqa: B023 - it is called in this round alone
                signal.raise_signal(signal.SIGTERM)
            return trace

        with supervisor.signals():
            sys.settrace(trace)
            try:
                supervisor.watch()
            finally:
                sys.settrace(before)
        assert lines >= moment
