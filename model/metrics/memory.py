"""The most memory that this process has held, and the end of what it holds for nothing."""

import ctypes
import gc
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def give_back() -> None:
    """Return freed memory to the system, where the C library is glibc.

    It keeps for each thread what that has freed, and pictures of all sizes leave holes between what stays: in a loop
    over pictures a process comes to hold several times what it uses.
    """
    gc.collect()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


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
