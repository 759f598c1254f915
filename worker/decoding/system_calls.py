"""System calls that a decoding child does without: the kernel refuses them from here on (seccomp(2)).

Landlock guards files and TCP, but not sockets of other kinds, such as that of a Redis on this machine.
"""

import ctypes
import errno
import platform
import struct

_PR_SET_SECCOMP, _FILTER = 22, 2  # <linux/prctl.h>, <linux/seccomp.h>
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # <linux/bpf_common.h>
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where they lie in struct seccomp_data
_CLONE_THREAD = 0x10000
_OTHER_ABI = 0x40000000  # from this number on x86 has its calls once more

# Of each architecture its name in <linux/audit.h>, then the numbers of clone and of what is refused: new sockets, new
# programs and processes, a look into those of others, and parts of the kernel that have often been a way in.
ARCHITECTURES = {
    "x86_64": (
        *(0xC000003E, 56),
        (41, 42, 57, 58, 59, 322, 101, 310, 311, 425, 272, 308, 321, 298, 323, 438, 248, 249, 250),
    ),
    "aarch64": (
        *(0xC00000B7, 220),
        (198, 203, 221, 281, 117, 270, 271, 425, 97, 268, 280, 241, 282, 438, 217, 218, 219),
    ),
}
_CLONE3 = 435  # on all of them

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_system_calls() -> bool:
    """Whether the kernel refuses them from now on: not where it has no such filters, nor on other architectures.

    Threads may still be made. The process must have given up new privileges (PR_SET_NO_NEW_PRIVS).
    """
    known = ARCHITECTURES.get(platform.machine())
    if known is None:
        return False
    code = _filter(*known)
    program = _Program(len(code) // 8, code)
    return bool(_libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(architecture: int, clone: int, refused: tuple[int, ...]) -> bytes:
    """The filter as instructions of the kernel's packet filters: code, where to go on if true and if not, value."""
    checks = [(_EQUAL, number, "refuse") for number in refused]
    head = [
        (_LOAD, _ARCHITECTURE, None),
        (_EQUAL, architecture, "next"),
        (_LOAD, _NUMBER, None),
        (_AT_LEAST, _OTHER_ABI, "refuse"),
        *checks,
        (_EQUAL, _CLONE3, "lacks"),  # what it is to do lies in memory, where it cannot be looked at; libc then clones
        (_EQUAL, clone, "clone"),
        (_RETURN, _ALLOW, None),
    ]
    places = {"clone": len(head), "refuse": len(head) + 3, "lacks": len(head) + 4}
    code = []
    for place, (kind, value, target) in enumerate(head):
        if target == "next":  # of another architecture nothing is allowed
            code.append((kind, 0, places["refuse"] - place - 1, value))
        else:
            code.append((kind, places[target] - place - 1 if target else 0, 0, value))
    code += [
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
