"""One piece of decoding, from the worker's side: it waits for the child, and does not wait too long."""

import contextlib
import json
import math
import mmap
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from jobs.problems import ProblemError, ProblemType
from model.arrays import Array, Doubles
from worker.decoding import forkserver, wire
from worker.decoding.confinement import Bounds
from worker.stages import Check

STALL_S = 9.0  # of waiting for a child that says nothing
MOST_STALLS = 3  # so many times as long it is waited however busy the machine is
POLL_S = 0.2
LONGEST_PROBLEM = 4000  # characters, as JSON
TAKEN = b"1"


class DecoderError(Exception):
    """A decoder failed in a way that no file should lead to: a fault of the program."""


class Decoding:
    """A child at work, to be used in a `with` block, at whose end it is gone.

    `name` is what messages call the file, `room` how many bytes each array that comes may have. Without a `path` the
    child decodes what is handed over. It may say nothing for `stall_s` seconds. Whatever `check` raises while we wait
    passes through.
    """

    def __init__(
        self,
        task: str,
        path: Path | None,
        *,
        name: str,
        bounds: Bounds,
        check: Check,
        arguments: dict[str, Any],
        room: int = mmap.PAGESIZE,
        stall_s: float = STALL_S,
    ) -> None:
        self._name = name
        self._bounds = bounds
        self._check = check
        self._stall_s = stall_s
        file = None if path is None else str(path.resolve())
        request = {"task": task, "path": file, "bounds": asdict(bounds), "arguments": arguments}
        self._channel, theirs = socket.socketpair()
        self._room = room
        self._shared = wire.shared_memory(room)
        self._memory = mmap.mmap(-1, 1)  # as much of what is shared as was needed so far
        try:
            with theirs:
                self._server, self._child = forkserver.fork(request, [theirs.fileno(), self._shared])
        except BaseException:
            self._close()
            raise
        self._ended = False
        self._readable = select.poll()
        self._readable.register(self._channel, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._end()

    def _close(self) -> None:
        self._channel.close()
        os.close(self._shared)

    def header(self) -> wire.Header:
        """The next message. Raises EOFError after the last one, and what the decoder found.

        Raises ProblemError: also too-costly, and unreadable-media where the file broke the decoder.
        """
        header = wire.receive(self._fill)
        if "problem" in header:
            raise _problem_in(header)
        if "fault" in header:
            raise DecoderError(header["fault"])
        if "lacks" in header:
            raise self._memory_lacks()
        return header

    def array(self, dtype: DTypeLike) -> Array:
        """The one array that comes, with which the child ends. Raises as `header` does."""
        array = self._mapped(self.header(), dtype)
        self._end()  # so that nobody else can write into it
        return array

    def arrays(self, dtype: DTypeLike) -> Iterator[Array]:
        """The arrays that come, while the child is at the next. Raises as `header` does."""
        with contextlib.suppress(EOFError):
            while True:
                array = self._mapped(self.header(), dtype).copy()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # that was the last
                    self._channel.send(TAKEN)
                yield array

    def answer(self, data: bytes, dtype: DTypeLike) -> Array:
        """The array that the child makes of `data`, for which there is room. Raises as `header` does."""
        self._reaching(len(data))[: len(data)] = data
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has died, and its end says of what
            wire.send(self._channel, {"bytes": len(data)})
        return self._mapped(self.header(), dtype).copy()

    def _mapped(self, header: wire.Header, dtype: DTypeLike) -> Array:
        shape = tuple(header["shape"])
        size = math.prod(shape)
        length = size * np.dtype(dtype).itemsize
        if not all(isinstance(side, int) and side >= 0 for side in shape) or length > self._room:
            raise DecoderError(f"a decoder sent an array of {shape}; there is room for {self._room} bytes")
        return np.frombuffer(self._reaching(length), dtype, size).reshape(shape)

    def _reaching(self, length: int) -> mmap.mmap:
        """What is shared, as far as so many bytes."""
        if length > len(self._memory):
            self._memory = mmap.mmap(self._shared, length)
        return self._memory

    def _fill(self, view: memoryview) -> None:
        while view.nbytes:
            self._wait()
            try:
                count = self._channel.recv_into(view)
            except ConnectionResetError:  # it died with something of ours unread
                count = 0
            if not count:
                raise self._end_of(self._end(patience_s=forkserver.GRACE_S))
            view = view[count:]

    def _wait(self) -> None:
        """Until something can be read. Time does not count in which the child stands still for want of a free core; but
        that has a bound, too."""
        stalled, began, threads = 0.0, time.monotonic(), self._threads()
        while stalled < self._stall_s and time.monotonic() < began + MOST_STALLS * self._stall_s:
            self._check()
            if self._readable.poll(1000 * POLL_S):
                return
            before, threads = threads, self._threads()
            spent = [now - before.get(thread, np.zeros(2)) for thread, now in threads.items()] or [np.zeros(2)]
            busiest_s, starved_s = max(ran for ran, _ in spent), sum(waited for _, waited in spent)
            stalled += min(max(busiest_s, POLL_S - starved_s), POLL_S)
        raise ProblemError(
            ProblemType.TOO_COSTLY,
            f"decoding the {self._name} hangs: for {self._stall_s:g} seconds nothing came of it",
        )

    def _threads(self) -> dict[str, Doubles]:
        """For how many seconds each of the child's threads has run and has waited for a core, if the system tells."""
        threads = {}
        for task in Path(f"/proc/{self._child}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # it has just ended
                threads[task.parent.name] = np.array(task.read_text().split()[:2], np.float64) / 1e9
        return threads

    def _end(self, *, patience_s: float = 0.0) -> int | None:
        if self._ended:
            return None
        self._ended = True
        return self._server.end(self._child, patience_s=patience_s)

    def _end_of(self, code: int | None) -> Exception:
        """What a child's end means that came before, or instead of, a message."""
        if code == 0:
            return EOFError()
        if code == -signal.SIGXCPU:
            seconds = self._bounds.seconds
            return ProblemError(
                ProblemType.TOO_COSTLY,
                f"decoding the {self._name} takes more than {seconds} seconds of computing",
                allowed=seconds,
            )
        if code is None:
            return DecoderError("the forkserver has gone in the middle of the work")
        if code == -signal.SIGKILL:  # not by us: by the kernel, whose memory ran short
            return self._memory_lacks()
        return ProblemError(
            ProblemType.UNREADABLE_MEDIA, f"the {self._name} is damaged: its decoder broke down over it"
        )

    def _memory_lacks(self) -> ProblemError:
        return ProblemError(
            ProblemType.TOO_COSTLY,
            f"decoding the {self._name} takes more than {self._bounds.memory >> 20} MiB of memory",
            allowed=self._bounds.memory,
        )


def _problem_in(header: wire.Header) -> ProblemError:
    """What a decoder found. A file may have taken it over, so it is held to what goes into a job's record."""
    values = {name: header.get(name) for name in ("got", "allowed")}
    detail = header.get("detail")
    if not isinstance(detail, str) or len(json.dumps([detail, *values.values()])) > LONGEST_PROBLEM:
        raise DecoderError(f"a decoder sent a problem of {len(str(header))} characters")
    return ProblemError(ProblemType[header["problem"]], detail.encode("utf-8", "replace").decode(), **values)
