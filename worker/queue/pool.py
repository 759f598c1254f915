"""The pool of a worker's one child, and how that child ends."""

import contextlib
import os
import signal

import billiard.pool
from celery.concurrency import prefork
from redis import RedisError

from jobs.machine import machine
from jobs.store.jobs import JobStore
from worker.settings import WorkerSettings

RESULTS_S = 2.0  # for the worker to take its child's last results, which it else takes when the child has ended


class Pool(prefork.TaskPool):  # type: ignore[misc] # celery has no types
    """Waits for a child that works until it is done, and does not for one that still loads: that may take minutes."""

    def on_stop(self) -> None:
        """End the child."""
        if self._pool is not None:
            self._pool.close()  # none takes the place of one that ends
            self._end_what_loads()
        super().on_stop()

    def _end_what_loads(self) -> None:
        """Kill what has not said yet that it can work, for it may hear no other signal; and it is not counted more."""
        loading = [each for each in self._pool._pool if each.inqW_fd not in self._pool._fileno_to_inq]
        for process in filter(lambda each: each.is_alive(), loading):
            process._controlled_termination = True  # else its end would be told as a fault
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            with (
                contextlib.suppress(RedisError),
                contextlib.closing(JobStore.connect(WorkerSettings().redis_url)) as store,
            ):
                store.workers.leave(f"{machine()}:{process.pid}")


def end_soon() -> None:
    """In a child: wait no longer than need be until its results are taken.

    By itself it waits for half a minute where the worker forgot a message: one that it had handed over, without having
    heard that it was begun, as it was told to stop.
    """
    tries = RESULTS_S / billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = round(tries)
