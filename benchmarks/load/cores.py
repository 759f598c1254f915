"""Who runs where: clients of a load belong on machines of their own, so they get a core of their own here."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

ALL = frozenset(os.sched_getaffinity(0))
CLIENTS = frozenset({max(ALL)})
SERVICE = ALL - CLIENTS or ALL  # where there is one core, they share it


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """What is started in the `with` block runs on these cores, and this process while the block runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
