"""How workers are called among those that share a Redis."""

import os
import subprocess
import sys

import psutil  # type: ignore[import-untyped]
import pytest

from jobs.machine import machine, worker

ASK = "import os; from jobs.machine import worker; print(worker(os.getppid()))"


def test_a_worker_is_called_the_same_by_itself_and_by_its_child() -> None:
    told = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout
    assert told.strip() == worker(os.getpid())


def test_a_later_process_of_the_same_number_is_another_worker() -> None:
    """In a container that is started again all numbers are those of before."""
    name, _, ticks = worker(os.getpid()).rpartition(":")
    assert name == f"{machine()}:{os.getpid()}"
    began = psutil.boot_time() + int(ticks) / os.sysconf("SC_CLK_TCK")
    assert began == pytest.approx(psutil.Process().create_time(), abs=2)
