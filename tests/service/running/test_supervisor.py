"""Processes that are put in the place of others."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from service.running import supervisor as supervising
from service.running.supervisor import STEADY_S, Child, ChildDiedError, Supervisor
from tests.support.processes import PATIENCE_S, until

PROCESS = """
import os, pathlib, socket, sys, time
if not pathlib.Path("well").exists():
    sys.exit(1)
pathlib.Path(f"begun-{os.getpid()}").touch()
if "NOTIFY_SOCKET" in os.environ:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(60)
"""

KILLS_AS_IT_ENDS = f"""
import os, pathlib, signal, sys, time

def begun():
    return len(list(pathlib.Path().glob("begun-*")))

def end(*_):
    if (other := pathlib.Path("other")).exists():
        before = begun()
        os.kill(int(other.read_text()), signal.SIGKILL)
        other.unlink()
        while begun() == before:
            time.sleep(0.01)
    sys.exit()

signal.signal(signal.SIGTERM, end)
{PROCESS}
"""


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.chdir(tmp_path)
    Path("well").touch()
    supervisor = Supervisor()
    yield supervisor
    supervisor.stop()


def has_begun(child: Child) -> None:
    process = child.process
    assert process is not None
    until(Path(f"begun-{process.pid}").exists, "it does not begin")


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
    has_begun(child)
    Path("well").unlink()
    supervisor.renew()
    assert child.process is before
    supervisor.check()
    assert child.alive


@pytest.mark.parametrize("overlap_s", [None, PATIENCE_S])
def test_others_are_watched_while_one_is_renewed(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, overlap_s: float | None
) -> None:
    """It ends when the other, which dies meanwhile, has been started again."""
    monkeypatch.setattr(supervising, "STOP_S", PATIENCE_S)
    other = Child("the other", [sys.executable, "-c", PROCESS], os.environ)
    slow = Child("a process", [sys.executable, "-c", KILLS_AS_IT_ENDS], os.environ, overlap_s=overlap_s)
    for child in (other, slow):
        supervisor.start(child)
        has_begun(child)
    before, ends = other.process, slow.process
    assert before is not None
    assert ends is not None
    Path("other").write_text(str(before.pid))
    other.renewed = False
    supervisor.renew()
    assert ends.returncode == 0  # it was not killed
    assert other.process is not before
    assert other.alive


def test_one_that_dies_again_and_again_is_started_after_growing_pauses(supervisor: Supervisor) -> None:
    Path("well").unlink()
    child = Child("a process", [sys.executable, "-c", PROCESS], os.environ)
    supervisor.start(child)
    pauses = []
    for _ in range(3):
        assert child.process is not None
        child.process.wait(PATIENCE_S)
        begun = time.monotonic()
        supervisor.check()
        looked = time.monotonic()
        pauses.append((0.0, 0.0) if child.due_at is None else (child.due_at - looked, child.due_at - begun))
        while child.due_at is not None:
            supervisor.check()
            time.sleep(0.01)
        assert time.monotonic() - begun >= pauses[-1][0]
    assert all(least <= pause <= most for (least, most), pause in zip(pauses, (0, 1, 2), strict=True)), pauses
    Path("well").touch()
    child.started_at -= STEADY_S  # as if it had run so long
    assert child.process is not None
    child.process.kill()
    child.process.wait(PATIENCE_S)
    supervisor.check()
    assert child.alive


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    supervisor = Supervisor(patience=1)
    child = Child("a process", [sys.executable, "-c", PROCESS], os.environ)
    supervisor.start(child)
    assert child.process is not None
    child.process.wait(PATIENCE_S)
    supervisor.check()
    child.process.wait(PATIENCE_S)
    with pytest.raises(ChildDiedError, match="a process ended with code 1, as it did 1 times before"):
        supervisor.check()


@pytest.mark.timeout(120)
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
