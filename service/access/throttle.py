"""How much may be done: by each key, requests and jobs in a time; by each owner, some things at once.

What is done in a time is counted in Redis, so over all front-ends; what is under way, at the front-end that it burdens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.problems import ProblemType
from jobs.store.rates import Charge, Rate, Standing, TooManyError
from service.access.keys import KeyScope
from service.http.problems import ProblemError
from service.siblings import Siblings

TESTS = "10/minute"  # of webhooks, with each key
OPEN_OWNER = "everyone"  # while there are no keys; there are no others then, and no shares


@dataclass(frozen=True)
class Bound:
    """How much may be done in a time, as 600/minute, by a key or, where it is `shared`, by all keys of an owner."""

    rate: str
    shared: bool = False


@dataclass(frozen=True)
class Caller:
    """Who asks: `owner` is whose jobs they see; `key_id` names the key they came with, in logs and counts.

    `standings` has what was counted for this request: requests, and jobs where it makes some.
    """

    owner: str
    key_id: str
    scopes: frozenset[KeyScope]
    requests: tuple[Bound, ...] = ()
    jobs: tuple[Bound, ...] = ()
    standings: dict[str, Standing] = field(default_factory=dict, compare=False)

    def request_charges(self) -> list[Charge]:
        """What a request of theirs takes."""
        return self._charges("requests", self.requests)

    def job_charges(self, cost: int = 1) -> list[Charge]:
        """What so many jobs of theirs take."""
        return self._charges("jobs", self.jobs, cost)

    def webhook_test_charges(self) -> list[Charge]:
        """What a test of a webhook takes."""
        return self._charges("tests of webhooks", (Bound(TESTS),))

    def _charges(self, what: str, bounds: tuple[Bound, ...], cost: int = 1) -> list[Charge]:
        # a key may be called as an owner is
        return [
            Charge(what, f"owner:{self.owner}" if each.shared else self.key_id, Rate.parse(each.rate), cost)
            for each in bounds
        ]


@contextmanager
def charged(caller: Caller) -> Iterator[Callable[[Sequence[Standing]], None]]:
    """Take note of how it stands with a caller's charges, as the `with` block tells.

    Raises ProblemError: 429, or 403 where it is more than there may ever be, so that waiting does not help.
    """

    def note(standings: Sequence[Standing]) -> None:
        for each in sorted(standings, key=lambda standing: standing.left, reverse=True):
            caller.standings[each.charge.what] = each  # of several the one of which least is left

    try:
        yield note
    except TooManyError as error:
        refused = next((each for each in error.standings if each.charge.never_fits), error.refused)
        note([*error.standings, refused])
        raise _refusal(refused, own=refused.charge.whom == caller.key_id) from error


def _refusal(refused: Standing, *, own: bool) -> ProblemError:
    charge = refused.charge
    allowed = f"{charge.rate} for {charge.what}"
    whose = f"{'this key is' if own else 'all keys of this owner are'} allowed {allowed}"
    if charge.never_fits:
        detail = f"{charge.cost} at once is more than there may ever be: {whose}"
        return ProblemError(ProblemType.FORBIDDEN, detail, got=charge.cost, allowed=allowed)
    return ProblemError(
        ProblemType.TOO_MANY_REQUESTS,
        f"{charge.cost} more is too many: {whose}; ask again in {refused.reset_s} s",
        got=charge.cost,
        allowed=allowed,
        headers={"Retry-After": str(refused.reset_s)},
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
                    f'"{what}";q={each.charge.rate.amount};w={each.charge.rate.seconds}'
                    for what, each in standings.items()
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
    """What is under way at this front-end, in all its processes together: at most `most`, of these one owner's `share`.
    For the event loop alone."""

    def __init__(self, what: str, siblings: Siblings, *, most: int, share: int) -> None:
        self._what = what
        self._siblings = siblings
        self._tally = siblings.tally(what)
        self._most = most
        self._share = share

    @property
    def here(self) -> int:
        """How much is under way in this process."""
        return self._tally.here

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """Count one more for as long as the `with` block runs. Raises UnderwayError."""
        if self._tally.total >= self._most:
            raise UnderwayError(self._most, own=False)
        with self._place(owner) if owner != OPEN_OWNER else nullcontext():
            self._tally.here += 1
            try:
                yield
            finally:
                self._tally.here -= 1

    @contextmanager
    def _place(self, owner: str) -> Iterator[None]:
        places = f"{self._what} {owner}"
        number = self._siblings.take(places, self._share)
        if number is None:
            raise UnderwayError(self._share, own=True)
        try:
            yield
        finally:
            self._siblings.leave(places, number)
