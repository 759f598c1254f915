"""The forkserver from the worker's side: there is one, started with next to no environment, and again when it has died.

The process itself is `__main__`.
"""

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from worker.decoding import wire

log = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-P", "-m", "worker.decoding")
ROOT = Path(__file__).parents[2]  # of our packages
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")  # of the worker's environment
# one thread, or forking would not be safe; one pool of memory, since each counts whole against a child's bound
ADDED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "PYTHONPATH": str(ROOT)}
ANSWER_S = 60.0  # in which it answers, even one that is only starting
GRACE_S = 1.0  # for a child that has said all it had to say


class Forkserver:
    """One such process, from the worker's side. Threads may share it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._control.settimeout(ANSWER_S)
        self._lock = threading.Lock()
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                COMMAND,
                env=kept | ADDED,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int:
        """The number of its process."""
        return int(self._process.pid)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def fork(self, request: wire.Header, files: Sequence[int]) -> int:
        """Let a child do what is asked with these open files; returns its number.

        Raises OSError or EOFError when the server has gone, MemoryError when it has no memory for another child.
        """
        answer = self._ask(request, files)
        if "refused" in answer:
            raise MemoryError(f"no process for decoding could be made: {os.strerror(answer['refused'])}")
        return int(answer["child"])

    def end(self, child: int, *, patience_s: float) -> int | None:
        """End a child that does not end by itself. Returns its exit code (-N: by signal N); None: it is not known."""
        with contextlib.suppress(OSError, EOFError):
            return int(self._ask({"end": child, "patience_s": patience_s})["code"])
        return None  # the server has gone, and its children with it

    def close(self) -> None:
        """End it."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    def _ask(self, request: wire.Header, files: Sequence[int] = ()) -> wire.Header:
        with self._lock:
            try:
                wire.send(self._control, request, files)
                return wire.receive(wire.fill_from(self._control))
            except BaseException:  # an answer that nobody waited for would be taken for that to the next question
                self.close()
                raise


_current: Forkserver | None = None
_starting = threading.Lock()


def start_forkserver(*, instead_of: Forkserver | None = None) -> Forkserver:
    """The forkserver of this process. It is started when there is none, or only a dead one or `instead_of`."""
    global _current  # noqa: PLW0603 - there is one in a process, as there is one process
    with _starting:
        if _current is not None and (_current is instead_of or not _current.alive):
            log.warning("the forkserver of decoders has gone and is started again", pid=_current.pid)
            _current.close()
            _current = None
        if _current is None:
            _current = Forkserver()
            atexit.register(_current.close)
        return _current


def fork(request: wire.Header, files: Sequence[int]) -> tuple[Forkserver, int]:
    """A child that does what is asked with these open files, and the forkserver it is of."""
    server = start_forkserver()
    try:
        return server, server.fork(request, files)
    except (OSError, EOFError):
        server = start_forkserver(instead_of=server)
        return server, server.fork(request, files)
