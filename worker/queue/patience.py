"""Waits for a store that is away."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog
from redis import RedisError

from jobs.files.artifacts import ArtifactsAwayError

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Patience:
    """Does what needs a store, and waits for one that is away: what was made shall not be made again.

    It waits for two thirds of a lease; later the job is another's. Then what the store raises passes through.
    """

    def __init__(self, lease_s: float) -> None:
        self._seconds = lease_s * 2 / 3

    def __call__(self, tell: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """What `tell` answers."""
        deadline = time.monotonic() + self._seconds
        waiting = False
        while True:
            try:
                return tell(*arguments, **keywords)
            except (RedisError, ArtifactsAwayError) as error:
                if time.monotonic() > deadline:
                    raise
                if not waiting:
                    log.warning("waiting for a store that is away", error=str(error))
                waiting = True
                time.sleep(0.2)
