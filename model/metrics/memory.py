"""How much memory this process has held."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_resident_mib() -> float:
    """The most memory that was resident at any time since the program began, in MiB.

    The kernel's own high-water mark where it tells one: `ru_maxrss` of a child starts at the size of the parent that
    it was forked from, and would hide all that is smaller.
    """
    if _STATUS.is_file():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
