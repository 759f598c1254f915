"""Processes that are put in the place of others."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.supervisor import Child, Supervisor

PROCESS = """
import os, pathlib, socket, sys, time
if not pathlib.Path("well").exists():
    sys.exit(1)
if "NOTIFY_SOCKET" in os.environ:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(60)
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
    child = Child("a process", [sys.executable, "-c", PROCESS], overlap_s=overlap_s)
    supervisor.start(child)
    before = child.process
    supervisor.renew()
    assert before is not None
    assert before.poll() is not None
    assert child.process is not before
    assert child.alive
    supervisor.check()


def test_one_that_cannot_begin_leaves_the_old_one_in_its_place(supervisor: Supervisor) -> None:
    child = Child("a process", [sys.executable, "-c", PROCESS], overlap_s=5.0)
    supervisor.start(child)
    before = child.process
    time.sleep(0.5)  # it has begun
    Path("well").unlink()
    supervisor.renew()
    assert child.process is before
    supervisor.check()
    assert child.alive
