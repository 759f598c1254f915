"""The processes of one front-end, which take their connections from one socket: what is counted over all of them."""

import fcntl
import hashlib
import mmap
import os
from pathlib import Path

SEATS = 256  # more than there are processes, each with the one before it, which may still be leaving
CELL_BYTES = 4


class Tally:
    """How many of something there are: here, and in all processes."""

    def __init__(self, cells: memoryview, seat: int) -> None:
        self._cells = cells
        self._seat = seat
        self.here = 0

    @property
    def here(self) -> int:
        """How many this process has."""
        return self.of(self._seat)

    @here.setter
    def here(self, number: int) -> None:
        self._cells[self._seat] = number

    def of(self, seat: int) -> int:
        """How many the process of a seat has."""
        return int(self._cells[seat])

    def forget(self, seat: int) -> None:
        """The process of a seat has ended."""
        self._cells[seat] = 0

    @property
    def total(self) -> int:
        """How many all have."""
        return sum(self._cells)


class Siblings:
    """The processes of one front-end, this one among them. What they share is a folder; a single one needs none.

    A place is a byte of a file there that one process locks at a time. The kernel frees those of a process that dies;
    what it had counted is then forgotten. For the event loop alone.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._file = None if folder is None else os.open(folder / "places", os.O_RDWR | os.O_CREAT, 0o600)
        if folder is not None:
            hold(folder)
        self._ours: set[int] = set()
        seat = self.take("seats", SEATS)
        if seat is None:
            raise RuntimeError(f"a front-end has no more than {SEATS} processes")
        self.seat = seat  # a number that no other process has as long as this one lives
        self._tallies: list[Tally] = []

    def tally(self, what: str) -> Tally:
        """Count something."""
        size = SEATS * CELL_BYTES
        cells = bytearray(size) if self.folder is None else _mapped(self.folder / f"{what}.count", size)
        tally = Tally(memoryview(cells).cast("I"), self.seat)
        self._tallies.append(tally)
        return tally

    def forget_dead(self) -> None:
        """Count no longer what processes had that have ended. To be called now and then."""
        others = [seat for seat in range(SEATS) if seat != self.seat] if self.folder else []
        for seat in others:
            if any(tally.of(seat) for tally in self._tallies) and self._lock(_first("seats") + seat):
                for tally in self._tallies:
                    tally.forget(seat)
                self._unlock(_first("seats") + seat)

    def take(self, what: str, most: int) -> int | None:
        """The number of a place that is free, of `most` that there are of `what` in all processes together."""
        first = _first(what)
        for number in range(most):
            if first + number not in self._ours and self._lock(first + number):
                self._ours.add(first + number)
                return number
        return None

    def leave(self, what: str, number: int) -> None:
        """Free a place."""
        self._unlock(_first(what) + number)
        self._ours.discard(_first(what) + number)

    def _lock(self, place: int) -> bool:
        if self._file is not None:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except (BlockingIOError, PermissionError):  # another process has it; POSIX allows either error
                return False
        return True

    def _unlock(self, place: int) -> None:
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)


def hold(folder: Path) -> int:
    """Keep a folder from whoever removes old ones, as long as what is returned is open. Several may hold it."""
    # systemd-tmpfiles, too, leaves alone what is locked
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def is_held(folder: Path) -> bool:
    """Whether anybody holds a folder."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _mapped(path: Path, size: int) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(file, size)
        return mmap.mmap(file, size)
    finally:
        os.close(file)


def _first(what: str) -> int:
    """Where the places of something begin: far from those of all else."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:5]) << 20
