"""What we ask of the operating system: child processes that do not outlive us, and memory that is given back."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
M_MMAP_THRESHOLD = -3  # <malloc.h>
LARGE_BYTES = 1 << 20
MOST_OOM_SCORE_ADJ = 1000


def give_large_blocks_back() -> None:
    """Let glibc give large blocks of memory back when they are freed.

    By itself it keeps such blocks once it has seen a few, in each thread apart: an upload in each would never end.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def spawn(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
    handed: Sequence[int] = (),
    oom_score_adj: int = 0,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C at the terminal reaches us alone.

    `environment` is all of its environment; unset, it has ours. `output` takes both its output streams; unset, they are
    ours. `handed` are numbers of files that it shares with us. On Linux it gets SIGTERM when we die, and when memory
    is short the kernel sees it by `oom_score_adj` more fit to be killed than us (see proc(5)).
    """
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def before_exec() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
        pass_fds=handed,
        preexec_fn=before_exec,  # noqa: PLW1509 - one system call, which takes no lock
    )
    with contextlib.suppress(OSError):  # it has ended already, or there is no Linux
        ours = int(Path("/proc/self/oom_score_adj").read_text())
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(min(ours + oom_score_adj, MOST_OOM_SCORE_ADJ)))
    return process


def inherited(*, but: tuple[str, ...]) -> dict[str, str]:
    """Our environment without the variables named in `but`, in upper or lower case: settings are read in either. A name
    that ends in `_` stands for all that begin so."""

    def left_out(name: str) -> bool:
        return any(name == each or (each.endswith("_") and name.startswith(each)) for each in but)

    return {name: value for name, value in os.environ.items() if not left_out(name.upper())}
