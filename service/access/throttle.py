"""How much may be done: by each key, requests and jobs in a time; by each owner, some things at once.

What is done in a time is counted in Redis, so over all front-ends; what is under way, in the process that it burdens.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import ConnectionPool

from jobs.problems import ProblemType
from jobs.store.names import LIMITS
from service.access.keys import KeyScope
from service.http.problems import ProblemError

OPEN_OWNER = "everyone"  # while there are no keys; there are no others then, and no shares


@dataclass(frozen=True)
class Caller:
    """Who asks: `owner` is whose jobs they see; `key_id` names the key they came with, in logs and counts."""

    owner: str
    key_id: str
    scopes: frozenset[KeyScope]
    rate: str | None = None
    quota: str | None = None


class Throttle:
    """Counts what callers do."""

    def __init__(self, redis_url: str) -> None:
        pool = ConnectionPool.from_url(redis_url)  # of our making: what it would make of some addresses is another's
        storage = RedisStorage(redis_url, connection_pool=pool, key_prefix=LIMITS)
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    def request(self, caller: Caller) -> None:
        """Count a request. Raises ProblemError (429) when it is one too many."""
        if caller.rate is not None:
            item = parse(caller.rate)
            if not self._limiter.hit(item, "requests", caller.key_id):
                raise self._exceeded(item, "requests", caller, cost=1)

    def check_jobs(self, caller: Caller, cost: int = 1) -> None:
        """Ask whether `cost` more jobs would be too many, without counting them. Raises ProblemError (429)."""
        if caller.quota is not None:
            item = parse(caller.quota)
            if not self._limiter.test(item, "jobs", caller.key_id, cost=cost):
                raise self._exceeded(item, "jobs", caller, cost=cost)

    def jobs(self, caller: Caller, cost: int = 1) -> None:
        """Count jobs. Raises ProblemError (429) when they are too many."""
        if caller.quota is not None:
            item = parse(caller.quota)
            if not self._limiter.hit(item, "jobs", caller.key_id, cost=cost):
                raise self._exceeded(item, "jobs", caller, cost=cost)

    def _exceeded(self, item: RateLimitItem, what: str, caller: Caller, *, cost: int) -> ProblemError:
        reset = self._limiter.get_window_stats(item, what, caller.key_id).reset_time
        wait_s = max(1, math.ceil(reset - time.time()))
        return ProblemError(
            ProblemType.TOO_MANY_REQUESTS,
            f"{cost} more is too many: this key allows {item} for {what}; ask again in {wait_s} s",
            got=cost,
            allowed=f"{item} for {what}",
            headers={"Retry-After": str(wait_s)},
        )


class UnderwayError(Exception):
    """As many of something are under way as may be: the owner's, or everybody's."""

    def __init__(self, most: int, *, own: bool) -> None:
        super().__init__(most)
        self.most = most
        self.own = own


class Underway:
    """What is under way in this process: at most `most`, of these one owner's `share`. For the event loop alone."""

    def __init__(self, *, most: int, share: int) -> None:
        self._most = most
        self._share = share
        self._counts: Counter[str] = Counter()

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """Count one more for as long as the `with` block runs. Raises UnderwayError."""
        if self._counts.total() >= self._most:
            raise UnderwayError(self._most, own=False)
        if owner != OPEN_OWNER and self._counts[owner] >= self._share:
            raise UnderwayError(self._share, own=True)
        self._counts[owner] += 1
        try:
            yield
        finally:
            self._counts[owner] -= 1
            if not self._counts[owner]:
                del self._counts[owner]
