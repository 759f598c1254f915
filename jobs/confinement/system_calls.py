"""System calls that a confined process does without: the kernel refuses them from here on (seccomp(2)).

Landlock guards what is opened, and TCP. It leaves other sockets, such as that of a Redis on this machine, what files
are called and who may read them, and, in older kernels, other processes.
"""

import ctypes
import errno
import os
import struct
from typing import NamedTuple

_PR_SET_SECCOMP, _FILTER = 22, 2  # <linux/prctl.h>, <linux/seccomp.h>
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # <linux/bpf_common.h>
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where they lie in struct seccomp_data
_CLONE_THREAD = 0x10000
_OTHER_ABI = 0x40000000  # from this number on x86 has its calls once more
_CLONE3 = 435  # on all architectures

_libc = ctypes.CDLL(None, use_errno=True)


class Architecture(NamedTuple):
    """A kind of processor: its name in <linux/audit.h>, and the numbers of calls in <asm/unistd.h>."""

    name: int
    clone: int
    tgkill: int
    prlimit64: int
    execve: int
    refused: tuple[int, ...]


ARCHITECTURES = {
    "x86_64": Architecture(
        *(0xC000003E, 56, 234, 302, 59),
        (
            *(41, 42, 57, 58, 322),  # socket, connect, fork, vfork, execveat
            *(101, 310, 311, 438),  # ptrace, process_vm_readv and _writev, pidfd_getfd
            *(425, 272, 308, 321, 298, 323),  # io_uring_setup, unshare, setns, bpf, perf_event_open, userfaultfd
            *(248, 249, 250),  # add_key, request_key, keyctl
            *(90, 91, 268, 452, 92, 93, 94, 260),  # chmod, chown and their kind
            *(188, 189, 190, 197, 198, 199, 132, 235, 261, 280),  # extended attributes and times of files
            *(
                76,
                82,
                264,
                316,
                87,
                263,
                84,
                86,
                265,
                88,
                266,
                83,
                258,
                133,
                259,
            ),  # truncate, rename and their kind
            *(62, 200, 129, 297, 424),  # kill and its kind
            *(141, 203, 144, 314, 251),  # setpriority, sched_setaffinity and their kind
        ),
    ),
    "aarch64": Architecture(
        *(0xC00000B7, 220, 131, 261, 221),
        (
            *(198, 203, 281),
            *(117, 270, 271, 438),
            *(425, 97, 268, 280, 241, 282),
            *(217, 218, 219),
            *(52, 53, 452, 54, 55),
            *(5, 6, 7, 14, 15, 16, 88),
            *(45, 38, 276, 35, 37, 36, 34, 33),
            *(129, 130, 138, 240, 424),
            *(140, 122, 119, 274, 30),
        ),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class _Instruction(NamedTuple):
    """Of the kernel's packet filters. It goes on at the label `then` if it is true, else at `other`, else behind it."""

    kind: int
    value: int
    then: str = ""
    other: str = ""
    label: str = ""


def refuse_system_calls(*, execute: bool) -> bool:
    """Whether the kernel refuses them from now on: not where it has no such filters, nor on other architectures.

    Threads may still be made, and with `execute` the process may become another program. It must have given up new
    privileges (PR_SET_NO_NEW_PRIVS).
    """
    architecture = ARCHITECTURES.get(os.uname().machine)
    if architecture is None:
        return False
    code = _assembled(_filter(architecture, os.getpid(), execute=execute))
    program = _Program(len(code) // 8, code)
    return bool(_libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(architecture: Architecture, own: int, *, execute: bool) -> list[_Instruction]:
    def first_argument(label: str, kind: int, value: int) -> list[_Instruction]:
        return [
            _Instruction(_LOAD, _FIRST_ARGUMENT, label=label),
            _Instruction(kind, value, then="allow", other="refuse"),
        ]

    return [
        _Instruction(_LOAD, _ARCHITECTURE),
        _Instruction(_EQUAL, architecture.name, other="refuse"),
        _Instruction(_LOAD, _NUMBER),
        _Instruction(_AT_LEAST, _OTHER_ABI, then="refuse"),
        *(_Instruction(_EQUAL, number, then="refuse") for number in architecture.refused),
        _Instruction(_EQUAL, architecture.execve, then="allow" if execute else "refuse"),
        _Instruction(_EQUAL, architecture.clone, then="clone"),
        _Instruction(_EQUAL, _CLONE3, then="lacks"),  # of what it is to do nothing can be seen; libc then clones
        _Instruction(_EQUAL, architecture.tgkill, then="tgkill"),
        _Instruction(_EQUAL, architecture.prlimit64, then="prlimit64"),
        _Instruction(_RETURN, _ALLOW, label="allow"),
        _Instruction(_RETURN, _ERRNO | errno.EPERM, label="refuse"),
        _Instruction(_RETURN, _ERRNO | errno.ENOSYS, label="lacks"),
        *first_argument("clone", _ANY_BIT, _CLONE_THREAD),
        *first_argument("tgkill", _EQUAL, own),  # that is how a process aborts
        *first_argument("prlimit64", _EQUAL, 0),
    ]


def _assembled(instructions: list[_Instruction]) -> bytes:
    """Jumps lead forwards alone, so what is behind "allow" and is reached by it comes once more at the end."""
    exits = [each for each in instructions if each.kind == _RETURN]
    instructions = [*instructions, *exits]
    places: dict[str, list[int]] = {}
    for place, each in enumerate(instructions):
        places.setdefault(each.label, []).append(place)

    def jump(place: int, label: str) -> int:
        return next(at for at in places[label] if at > place) - place - 1 if label else 0

    return b"".join(
        struct.pack("=HBBI", each.kind, jump(place, each.then), jump(place, each.other), each.value)
        for place, each in enumerate(instructions)
    )
