"""Batches drawn ahead of the step that wants them, by processes of their own.

A batch depends on the seed and on which step, batch of the step and pairs of it are asked for, and on nothing that was
drawn before; so it is the same however many processes draw, and a run that goes on from a checkpoint sees what it
would have seen.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from model.data.batch import Batch, PairSource
from model.logs import log_to_stderr
from model.machine import available_cores

MOST_PROCESSES = 8
AHEAD = 3  # batches that a process has ready


@dataclass(frozen=True)
class Draw:
    """One batch of a step: its number within the step, the pairs that this process takes, and the pictures' size."""

    step: int
    number: int
    pairs: tuple[int, ...]
    size: int


class Loader:
    """Gives the batches of one step after the other.

    processes: how many draw ahead; 0 draws at once, in this one. None is 0 on a CPU, which has the step itself to
    compute, and on a GPU one for each CPU core but one, at most MOST_PROCESSES; GPUs of one machine share its cores.
    """

    def __init__(
        self,
        open_source: Callable[[], PairSource],
        *,
        seed: int,
        processes: int | None,
        device: torch.device,
        opened: PairSource | None = None,
    ) -> None:
        """`open_source` opens the data; it is pickled to each process. `opened` is the data where it is open here."""
        if processes is None:
            cores = available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's, on this machine
            processes = 0 if device.type == "cpu" else min(MOST_PROCESSES, max(1, cores - 1))
        self._order = _Order()
        self._loader: DataLoader[Batch] | None = DataLoader(
            _Batches(open_source, seed, opened),
            batch_size=None,
            sampler=self._order,
            num_workers=processes,
            worker_init_fn=_start if processes else None,
            # Threads run here, and perhaps CUDA: a fork of this process would be half a one.
            multiprocessing_context="spawn" if processes else None,
            persistent_workers=processes > 0,
            prefetch_factor=AHEAD if processes else None,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # else every new order would draw from the generator that checkpoints hold
        )
        self._coming: Iterator[Batch] | None = None
        self._next: Draw | None = None

    def batches(self, step: int, *, count: int, pairs: tuple[int, ...], size: int) -> list[Batch]:
        """The `count` batches of a step. Steps that follow are drawn ahead, in the guess that they want the same."""
        if self._loader is None:
            raise RuntimeError("this loader is closed")
        first = Draw(step, 0, pairs, size)
        if self._coming is None or first != self._next or count != self._order.count:
            self._order.first, self._order.count = first, count
            self._coming = None  # what was drawn ahead in vain goes before what is asked for is begun
            with _children_die_quietly():
                self._coming = iter(self._loader)
        self._next = Draw(step + 1, 0, pairs, size)
        return [next(self._coming) for _ in range(count)]

    def close(self) -> None:
        """End the processes."""
        self._coming = self._loader = None


class _Order(Sampler[Draw]):
    """Draws without end, from `first` on, `count` a step."""

    def __init__(self) -> None:
        self.first, self.count = Draw(0, 0, (), 0), 1

    def __iter__(self) -> Iterator[Draw]:
        first, count, step = self.first, self.count, self.first.step
        while True:
            for number in range(count):
                yield Draw(step, number, first.pairs, first.size)
            step += 1


class _Batches(Dataset[Batch]):
    """The batch of each draw; the data is opened by the process that needs it."""

    def __init__(self, open_source: Callable[[], PairSource], seed: int, opened: PairSource | None) -> None:
        self._open, self._seed = open_source, seed
        self._source = opened

    def __getitem__(self, draw: Draw) -> Batch:
        if self._source is None:
            self._source = self._open()
        seeds = ((self._seed, draw.step, draw.number, pair) for pair in draw.pairs)
        return self._source.batch([np.random.default_rng(seed) for seed in seeds], draw.size)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_source": None}


@contextmanager
def _children_die_quietly() -> Iterator[None]:
    """Undo that torch asks to be told at once when a drawing process dies: it looks every few seconds, too.

    Python's handlers run on a stack that libraries may take away; then the end of any child ends this process.
    """
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)


def _start(_: int) -> None:
    log_to_stderr()
