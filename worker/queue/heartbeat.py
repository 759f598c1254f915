"""Says every few seconds that this process lives, and what it is: so the service knows how many workers it has."""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum

import structlog
from redis import RedisError

from jobs.store.workers import Workers

log = structlog.get_logger(__name__)


class State(StrEnum):
    """What a worker is at."""

    LOADING = "loading"
    READY = "ready"


class Heartbeat:
    """Beats from a thread of its own, so that a job at work does not silence it, but a process that hangs in native
    code with the interpreter's lock held does. Beats tell `facts`, and `beside` is done with each; they are `every_s`
    seconds apart."""

    def __init__(
        self,
        workers: Workers,
        name: str,
        *,
        facts: Mapping[str, str | float],
        every_s: float,
        beside: Callable[[], None],
    ) -> None:
        self._workers = workers
        self._name = name
        self._given = facts
        self._every_s = every_s
        self._beside = beside
        self._started = time.time()
        self._state = State.LOADING
        self._heard = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin, as loading."""
        self._thread.start()

    def ready(self) -> None:
        """Models are loaded: jobs can be done."""
        self._state = State.READY
        self._beat()

    def stop(self) -> None:
        """End, and say so."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(1)  # else a beat that is under way may say later that this worker lives
        try:
            self._workers.leave(self._name)
        except RedisError as error:
            log.warning("the end of this worker could not be told", error=str(error))

    def _run(self) -> None:
        self._beat()
        while not self._stop.wait(self._every_s):
            self._beat()

    def _beat(self) -> None:
        try:
            self._workers.beat(self._name, self._facts())
            self._beside()
        except RedisError as error:  # it is said once, and not at every beat
            if self._heard:
                log.warning("Redis does not answer; heartbeats are not heard until it does", error=str(error))
            self._heard = False
        else:
            self._heard = True

    def _facts(self) -> dict[str, str | float]:
        facts: dict[str, str | float] = {
            "state": self._state.value,
            "pid": os.getpid(),
            "started_at": round(self._started, 3),
            **self._given,
        }
        torch = sys.modules.get("torch")  # not imported for this alone
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            free, total = torch.cuda.mem_get_info()
            facts |= {"gpu": torch.cuda.get_device_name(), "gpu_used_bytes": total - free, "gpu_bytes": total}
        return facts
