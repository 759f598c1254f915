"""Idempotency-Key: a create that is repeated with its key answers with the first one's job."""

import hashlib
import json
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from jobs.problems import ProblemType
from jobs.store.jobs import Remembered
from jobs.store.names import IDEMPOTENCY
from service.http.problems import ProblemError

IN_FLIGHT_SECONDS = 30  # so long after its front-end has died a request may be sent again
KEPT_SECONDS = 24 * 3600
MAX_KEY_LENGTH = 255

# KEYS: one in flight; ARGV: whose it is, seconds -> 1, or 0 where it is another request's by now
KEEP = """
local found = redis.call('GET', KEYS[1])
if found and found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
# KEYS: one that was in flight; ARGV: whose it was
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True)
class Answered:
    """What the first request with a key led to."""

    fingerprint: str
    job_id: str


class IdempotencyKeys:
    """Keys seen lately, in Redis, apart for each owner. While a request is in flight its key holds the id of the job
    that it would make."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def begin(self, owner: str, key: str, job_id: str) -> Answered | None:
        """Claim a key; the answer when it was used before. Raises ProblemError (400; 409 while in flight)."""
        if not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable() and key.isascii()):
            raise ProblemError(
                ProblemType.BAD_REQUEST,
                f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters, got {len(key)}",
                got=key,
            )
        name = self._name(owner, key)
        if await self._redis.set(name, job_id, nx=True, ex=IN_FLIGHT_SECONDS):
            return None
        stored = cast("str | None", await self._redis.get(name))
        if not stored or not stored.startswith("{"):
            raise _in_flight(key)
        return Answered(**json.loads(stored))

    async def keep(self, owner: str, key: str, job_id: str) -> None:
        """Claim a key for longer, which is in flight. Raises ProblemError (409) where it lapsed and went to another."""
        if not await self._redis.eval(KEEP, 1, self._name(owner, key), job_id, IN_FLIGHT_SECONDS):
            raise _in_flight(key)

    def remembered(self, owner: str, key: str, answered: Answered) -> Remembered:
        """The answer, as it is kept for a day with the job that is made."""
        text = json.dumps({"fingerprint": answered.fingerprint, "job_id": answered.job_id})
        return Remembered(self._name(owner, key), text, KEPT_SECONDS)

    async def release(self, owner: str, key: str, job_id: str) -> None:
        """Free the key of a request that led to nothing, so that it can be mended and sent again; unless it lapsed and
        went to another."""
        await self._redis.eval(RELEASE, 1, self._name(owner, key), job_id)

    @staticmethod
    def _name(owner: str, key: str) -> str:
        return f"{IDEMPOTENCY}{owner}:{hashlib.sha256(key.encode()).hexdigest()}"


def _in_flight(key: str) -> ProblemError:
    return ProblemError(
        ProblemType.IDEMPOTENCY_IN_FLIGHT,
        f"a request with Idempotency-Key {key!r} is in progress",
        got=key,
        headers={"Retry-After": "1"},
    )
