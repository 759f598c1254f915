"""One piece of decoding, from the worker's side: it waits for the child, and does not wait too long."""

import contextlib
import math
import select
import signal
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from service.jobs.problems import ProblemType
from worker.decoding import forkserver, wire
from worker.decoding.confinement import Bounds
from worker.errors import InputError
from worker.stages import Check

STALL_S = 9.0  # of waiting for a child that says nothing
POLL_S = 0.2


class DecoderError(Exception):
    """A decoder failed in a way that no file should lead to: a fault of the program."""


class Decoding:
    """A child at work, to be used in a `with` block, at whose end it is gone.

    `name` is what messages call the file. Whatever `check` raises while we wait passes through.
    """

    def __init__(
        self, task: str, path: Path, *, name: str, bounds: Bounds, check: Check, arguments: dict[str, Any]
    ) -> None:
        self._name = name
        self._bounds = bounds
        self._check = check
        request = {"task": task, "path": str(path.resolve()), "bounds": asdict(bounds), "arguments": arguments}
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._server, self._child = forkserver.fork(request, theirs)
        self._ended = False
        self._readable = select.poll()
        self._readable.register(self._channel, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()
        self._end()

    def header(self) -> wire.Header:
        """The next message, which has no array. Raises as `arrays` does."""
        header, _ = self._next()
        return header

    def arrays(self, dtype: DTypeLike, *, most: int, into: NDArray[Any] | None = None) -> Iterator[NDArray[Any]]:
        """The arrays that come, of at most `most` elements each; with `into` as rows of that array, one after another.

        Raises InputError: what the decoder found, too-costly, or unreadable-media where the file broke it.
        """
        while True:
            try:
                header, length = self._next()
            except EOFError:
                return
            shape = tuple(header["shape"])
            if not all(isinstance(side, int) and side >= 0 for side in shape) or math.prod(shape) > most:
                raise DecoderError(f"a decoder sent an array of {shape}; at most {most} elements are allowed")
            array = np.empty(shape, dtype) if into is None else into[: shape[0]]
            if array.shape != shape or array.nbytes != length:
                raise DecoderError(f"a decoder sent {length} bytes as an array of {shape}")
            self._fill(wire.as_bytes(array))
            yield array
            if into is not None:
                into = into[shape[0] :]

    def _next(self) -> tuple[wire.Header, int]:
        header, length = wire.receive(self._fill)
        if "problem" in header:
            problem = ProblemType[header["problem"]]
            raise InputError(problem, header["detail"], got=header["got"], allowed=header["allowed"])
        if "fault" in header:
            raise DecoderError(header["fault"])
        if "lacks" in header:
            raise self._memory_lacks()
        return header, length

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
        """Until something can be read. Time does not count in which the machine, or the child for want of a free core,
        stands still."""
        stalled, starved = 0.0, self._starved_s()
        while stalled < STALL_S:
            self._check()
            if self._readable.poll(1000 * POLL_S):
                return
            before, starved = starved, self._starved_s()
            stalled += POLL_S - min(max(0.0, starved - before), POLL_S)
        raise InputError(
            ProblemType.TOO_COSTLY,
            f"decoding the {self._name} hangs: for {STALL_S:g} seconds nothing came of it",
        )

    def _starved_s(self) -> float:
        """For how long the child's threads have waited for a core, as far as the system tells."""
        waited_ns = 0
        for task in Path(f"/proc/{self._child}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # it has just ended
                waited_ns += int(task.read_text().split()[1])
        return waited_ns / 1e9

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
            return InputError(
                ProblemType.TOO_COSTLY,
                f"decoding the {self._name} takes more than {seconds} seconds of computing",
                allowed=seconds,
            )
        if code in (None, -signal.SIGKILL):  # not by us: the kernel, or whoever keeps order
            return self._memory_lacks()
        return InputError(ProblemType.UNREADABLE_MEDIA, f"the {self._name} is damaged: its decoder broke down over it")

    def _memory_lacks(self) -> InputError:
        return InputError(
            ProblemType.TOO_COSTLY,
            f"decoding the {self._name} takes more than {self._bounds.memory >> 20} MiB of memory",
            allowed=self._bounds.memory,
        )
