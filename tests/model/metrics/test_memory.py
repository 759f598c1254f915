"""Memory that was freed does not stay with the process."""

import subprocess
import sys

import pytest

from tests.support.paths import ROOT

LEAVE_HOLES = """
import numpy as np
from pathlib import Path
from model.metrics.memory import give_back

def resident_mib():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024

pictures = [np.ones(100_000, np.uint8) for _ in range(3000)]  # small enough to lie in the heap
pin = [np.ones(1000, np.uint8) for _ in range(100)]  # above them all
del pictures
held = resident_mib()
give_back()
print(held - resident_mib())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is asked to")
def test_holes_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVE_HOLES], cwd=ROOT, check=True, capture_output=True, text=True)
    assert float(done.stdout) > 200  # of 286 MiB
