"""What a worker does beside its live session, so that jobs do not wait for ever where every worker has one."""

import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from redis import RedisError

from jobs.kinds import KINDS, LIVE_QUEUE
from jobs.schemas import JobKind
from jobs.store.jobs import JobStore
from jobs.store.records import Claim


class Beside:
    """Does a job that waits, or a part of one, where no worker that takes its kind is without a session.

    Images and motions are done at once. Of videos as much as leaves the session half of the time. `claim` gives what is
    next of a kind, if there is any, and `work` does it in a context.
    """

    def __init__(
        self,
        store: JobStore,
        kinds: Sequence[JobKind],
        *,
        claim: Callable[[JobKind], Claim | None],
        work: Callable[[Claim, AbstractContextManager[None]], None],
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._claim = claim
        self._work = work
        self._videos_after = 0.0

    def __call__(self, aside: Callable[[], AbstractContextManager[None]]) -> None:
        """Do one, if there is any to be done; in the context of `aside`, in which the session stands still."""
        with contextlib.suppress(RedisError):  # the session outlasts a short absence
            for kind in self._kinds:
                if kind is JobKind.VIDEO and time.monotonic() < self._videos_after:
                    continue
                if not self._store.turns.next(kind) or self._is_served(kind):
                    continue
                if claim := self._claim(kind):
                    began = time.monotonic()
                    self._work(claim, aside())
                    if kind is JobKind.VIDEO:
                        now = time.monotonic()
                        self._videos_after = now + (now - began)
                    return

    def _is_served(self, kind: JobKind) -> bool:
        """Whether a worker without a session takes jobs of a kind."""
        queues = [facts.get("queues", "").split(",") for facts in self._store.workers.live().values()]
        takers = [LIVE_QUEUE in names for names in queues if KINDS[kind].queue in names]
        return not all(takers) or self._store.live.count() < len(takers)
