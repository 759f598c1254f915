"""What a decoding child gives up before it looks at a file, for good: the kernel holds it to that."""

import contextlib
import ctypes
import os
import resource
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

from worker.decoding.system_calls import refuse_system_calls

OPEN_FILES = 16

# <linux/prctl.h>
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38

# <linux/landlock.h>; the system calls have these numbers on all architectures
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _RULE_PATH_BENEATH = 1, 1
_READ_FILE = 1 << 2
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # how many rights over files there are, from a version on
_NET_SINCE, _NET_RIGHTS = 4, 0b11  # TCP: bind and connect
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract Unix sockets, and signals to others

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True)
class Bounds:
    """What a piece of decoding may use: memory in bytes, beyond what its process begins with, and seconds of computing,
    those of all its threads together."""

    memory: int
    seconds: int


def confine(path: Path, bounds: Bounds) -> None:
    """From here on this process may read the file at `path` and use what `bounds` allow, and little else."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with contextlib.suppress(OSError):  # where memory runs short, it shall be taken from us and from nobody else
        Path("/proc/self/oom_score_adj").write_text("1000")
    own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, own + bounds.memory)
    _limit(resource.RLIMIT_CPU, bounds.seconds, bounds.seconds + 1)  # SIGXCPU, which says why, and then SIGKILL
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    if version := landlock_version():
        _read_only(path, version)
    refuse_system_calls()


def landlock_version() -> int:
    """Which rights the kernel lets us give up; 0 where it has no Landlock."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)))


def _limit(what: int, most: int, hard: int | None = None) -> None:
    """Lower a limit; where it is lower already, so it stays."""
    own = resource.getrlimit(what)[1]
    wanted = (most, most if hard is None else hard)
    resource.setrlimit(what, wanted if own == resource.RLIM_INFINITY else (min(wanted[0], own), min(wanted[1], own)))


def _read_only(path: Path, version: int) -> None:
    """Of all files only this one can be opened, to be read. Raises OSError."""
    files = (1 << max(count for since, count in _FILE_RIGHTS.items() if version >= since)) - 1
    net = _NET_RIGHTS if version >= _NET_SINCE else 0
    scopes = _SCOPES if version >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", files, net, scopes)
    ruleset = _called(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    file = os.open(path, os.O_PATH)
    try:
        _called(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", _READ_FILE, file), 0)
        _called(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(file)
        os.close(ruleset)


def _called(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
