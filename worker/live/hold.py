"""A worker's hold on a live session: it beats, and learns when the session is to be left."""

import threading
import time
from types import TracebackType
from typing import Self

from redis import RedisError

from jobs.store.live import BEAT_S, SILENT_S, LiveClaim, LiveSessions

TURN_S = 1200.0  # after which a session is left for whoever takes it next: no task may go on without end


class Hold:
    """Beats from a thread while the `with` block runs; then the session can be taken by another.

    `over` is set when the session is to be left: it has ended, was taken by another since nothing was heard of us, its
    turn is over, or the worker was told to stop. `pictures` counts those that were drawn.
    """

    def __init__(self, sessions: LiveSessions, claim: LiveClaim, worker: str) -> None:
        self._sessions = sessions
        self.claim = claim
        self._worker = worker
        self.over = threading.Event()
        self.pictures = 0
        self._told = 0  # pictures
        self._until = time.monotonic() + TURN_S
        self._thread = threading.Thread(target=self._beat, name="live-beat", daemon=True)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            self._say()
            self._sessions.leave(self.claim)
        except RedisError:  # it lapses
            pass

    @property
    def turn_over(self) -> bool:
        """Whether the session was held for as long as may be."""
        return time.monotonic() > self._until

    def _beat(self) -> None:
        heard = time.monotonic()
        while not self._stop.wait(BEAT_S):
            try:
                goes_on = self._say()
                heard = time.monotonic()
            except RedisError:
                goes_on = time.monotonic() < heard + 10 * SILENT_S  # nobody can take it from a Redis that is away
            if not goes_on or self.turn_over:
                self.over.set()

    def _say(self) -> bool:
        pictures = self.pictures
        goes_on = self._sessions.beat(self.claim, worker=self._worker, pictures=pictures - self._told)
        self._told = pictures
        return goes_on
