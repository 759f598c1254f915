"""How much each key may do: requests in a time, and jobs in a time; counted in Redis, so over all front-ends."""

import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from service.jobs.problems import ProblemType
from service.keys import KeyScope
from service.problems import ProblemError


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
        self._limiter = SlidingWindowCounterRateLimiter(RedisStorage(redis_url, key_prefix="pirenderer:limits"))

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
