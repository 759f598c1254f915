"""How much may be done: by each key, requests and jobs in a time; by each owner, some things at once.

What is done in a time is counted in Redis, so over all front-ends; what is under way, in the process that it burdens.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from limits import parse
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import ConnectionPool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.problems import ProblemType
from jobs.store.names import LIMITS
from service.access.keys import KeyScope
from service.http.problems import ProblemError

TESTS = "10/minute"  # of webhooks, with each key
OPEN_OWNER = "everyone"  # while there are no keys; there are no others then, and no shares


@dataclass(frozen=True)
class Standing:
    """How a caller stands: of `amount` in `seconds` so much is `left`, and in `reset_s` seconds there is more."""

    amount: int
    seconds: int
    left: int
    reset_s: int


@dataclass(frozen=True)
class Caller:
    """Who asks: `owner` is whose jobs they see; `key_id` names the key they came with, in logs and counts.

    `standings` has what was counted for this request: requests, and jobs where it makes some.
    """

    owner: str
    key_id: str
    scopes: frozenset[KeyScope]
    rate: str | None = None
    quota: str | None = None
    standings: dict[str, Standing] = field(default_factory=dict, compare=False)


class Throttle:
    """Counts what callers do."""

    def __init__(self, redis_url: str) -> None:
        pool = ConnectionPool.from_url(redis_url)  # of our making: what it would make of some addresses is another's
        storage = RedisStorage(redis_url, connection_pool=pool, key_prefix=LIMITS)
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    def request(self, caller: Caller) -> None:
        """Count a request. Raises ProblemError (429) when it is one too many."""
        self._count(caller, "requests", caller.rate)

    def check_jobs(self, caller: Caller, cost: int = 1) -> None:
        """Ask whether `cost` more jobs would be too many, without counting them. Raises ProblemError (429)."""
        self._count(caller, "jobs", caller.quota, cost, take=False)

    def jobs(self, caller: Caller, cost: int = 1) -> None:
        """Count jobs. Raises ProblemError (429) when they are too many."""
        self._count(caller, "jobs", caller.quota, cost)

    def webhook_test(self, caller: Caller) -> None:
        """Count a test of a webhook. Raises ProblemError (429) when it is one too many."""
        self._count(caller, "tests of webhooks", TESTS)

    def _count(self, caller: Caller, what: str, rate: str | None, cost: int = 1, *, take: bool = True) -> None:
        if rate is None:
            return
        item = parse(rate)
        room = (self._limiter.hit if take else self._limiter.test)(item, what, caller.key_id, cost=cost)
        stats = self._limiter.get_window_stats(item, what, caller.key_id)
        reset_s = max(1, math.ceil(stats.reset_time - time.time()))
        found = Standing(item.amount, item.get_expiry(), stats.remaining, reset_s)
        caller.standings[what] = found
        if not room:
            raise ProblemError(
                ProblemType.TOO_MANY_REQUESTS,
                f"{cost} more is too many: this key allows {item} for {what}; ask again in {found.reset_s} s",
                got=cost,
                allowed=f"{item} for {what}",
                headers={"Retry-After": str(found.reset_s)},
            )


class RateLimitFields:
    """Tells callers in every answer how they stand with their rate and quota (draft-ietf-httpapi-ratelimit-headers)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_with_fields(message: Message) -> None:
            standings: dict[str, Standing] = state.get("standings", {})
            if message["type"] == "http.response.start" and standings:
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = ", ".join(
                    f'"{what}";q={each.amount};w={each.seconds}' for what, each in standings.items()
                )
                headers["RateLimit"] = ", ".join(
                    f'"{what}";r={each.left};t={each.reset_s}' for what, each in standings.items()
                )
            await send(message)

        await self._app(scope, receive, send_with_fields)


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
