"""Whether this machine gives processes semaphores: a worker and its child tell each other of jobs with them."""

import multiprocessing

from jobs.errors import UnusableError


class NoSemaphoresError(UnusableError):
    """It gives none; the text says why and what to do."""


def check_semaphores() -> None:
    """Make one, as Celery's pool will, and drop it. Raises NoSemaphoresError."""
    try:
        multiprocessing.get_context("fork").Lock()
    except OSError as error:
        raise NoSemaphoresError(
            f"no semaphore can be made, which workers need ({error}): /dev/shm must be there, writable and not full; "
            "`mount -t tmpfs tmpfs /dev/shm` makes one, for a container --tmpfs /dev/shm"
        ) from error
