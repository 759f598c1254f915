"""All that a process gives up, at once."""

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterable

from jobs.confinement.landlock import open_only
from jobs.confinement.system_calls import refuse_system_calls

OPEN_FILES = 16

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # <linux/prctl.h>

_libc = ctypes.CDLL(None, use_errno=True)


def confine(paths: Iterable[str | os.PathLike[str]], *, memory: int, seconds: int, execute: bool = False) -> None:
    """From here on this process may read what lies at `paths`, and do little else; it ends with its parent.

    `memory` is in bytes, all of the process; `seconds` are those of computing, of all its threads together. With
    `execute` it may become another program, of those at `paths`, which is confined as it is. Raises OSError.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Where memory runs short, it shall be taken from us and from nobody else
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - pathlib is large
        file.write("1000")
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CPU, seconds, seconds + 1)  # SIGXCPU, which says why, and then SIGKILL
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    open_only(paths, execute=execute)
    refuse_system_calls(execute=execute)


def _limit(what: int, most: int, hard: int | None = None) -> None:
    """Lower a limit; where it is lower already, so it stays."""
    own = resource.getrlimit(what)[1]
    wanted = (most, most if hard is None else hard)
    resource.setrlimit(what, wanted if own == resource.RLIM_INFINITY else (min(wanted[0], own), min(wanted[1], own)))
