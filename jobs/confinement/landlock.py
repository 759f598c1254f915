"""Files that a process may open: the kernel refuses others from here on, and connections and signals (Landlock)."""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

# <linux/landlock.h>; the system calls have these numbers on all architectures
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _RULE_PATH_BENEATH = 1, 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # how many rights over files there are, from a version on
_NET_SINCE, _NET_RIGHTS = 4, 0b11  # TCP: bind and connect
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract Unix sockets, and signals to others

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def landlock_version() -> int:
    """Which rights the kernel lets us give up; 0 where it has no Landlock."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)))


def open_only(paths: Iterable[str | os.PathLike[str]], *, execute: bool) -> None:
    """Of all files only these, and those in these folders, can be opened, to be read and perhaps executed.

    The process must have given up new privileges. Without Landlock nothing changes. Raises OSError.
    """
    version = landlock_version()
    if not version:
        return
    files = (1 << max(count for since, count in _FILE_RIGHTS.items() if version >= since)) - 1
    net = _NET_RIGHTS if version >= _NET_SINCE else 0
    scopes = _SCOPES if version >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", files, net, scopes)
    ruleset = _called(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for path in paths:
            _allow(ruleset, path, _READ_FILE | _EXECUTE if execute else _READ_FILE)
        _called(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str | os.PathLike[str], rights: int) -> None:
    file = os.open(path, os.O_PATH)
    try:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            rights |= _READ_DIR
        _called(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, file), 0)
    finally:
        os.close(file)


def _called(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
