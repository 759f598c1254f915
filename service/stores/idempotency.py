"""Idempotency-Key: a create that is repeated with its key answers with the first one's job."""

import contextlib
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from redis import RedisError

from jobs.problems import ProblemType
from jobs.store.batches import BatchedScripts
from jobs.store.creation import Remembered
from jobs.store.names import IDEMPOTENCY
from jobs.store.scripts import Argument, Call, Script, as_it_is
from service.http.problems import ProblemError

IN_FLIGHT_SECONDS = 30  # so long after its front-end has died a request may be sent again
KEPT_SECONDS = 24 * 3600
MAX_KEY_LENGTH = 255

# Of all three `id` is the job's that a request would make.

# key, seconds -> what the key holds already, if anything
BEGIN = Script("""
local found = redis.call('GET', a.key)
if not found then redis.call('SET', a.key, id, 'EX', a.seconds) end
return found
""")
# key, seconds
KEEP = Script("if redis.call('GET', a.key) == id then redis.call('EXPIRE', a.key, a.seconds) end")
# key
RELEASE = Script("if redis.call('GET', a.key) == id then redis.call('DEL', a.key) end")


@dataclass(frozen=True)
class Answered:
    """What the first request with a key led to."""

    fingerprint: str
    job_id: str


class IdempotencyKeys:
    """Keys seen lately, in Redis, apart for each owner. While a request is in flight its key holds the id of the job
    that it would make."""

    def __init__(self, scripts: BatchedScripts) -> None:
        self._scripts = scripts

    async def begin(self, owner: str, key: str, job_id: str) -> Answered | None:
        """Claim a key; the answer when it was used before. Raises ProblemError (400; 409 while in flight)."""
        if not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable() and key.isascii()):
            raise ProblemError(
                ProblemType.BAD_REQUEST,
                f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters, got {len(key)}",
                got=key,
            )
        try:
            stored: str | None = await self._run(BEGIN, owner, key, job_id, seconds=IN_FLIGHT_SECONDS)
        except RedisError:  # whose answer may be what was lost
            await self.release(owner, key, job_id)
            raise
        if stored is None:
            return None
        if not stored.startswith("{"):
            raise in_flight(key)
        return Answered(**json.loads(stored))

    async def keep(self, owner: str, key: str, job_id: str) -> None:
        """Claim a key for longer, which is in flight; unless it lapsed."""
        await self._run(KEEP, owner, key, job_id, seconds=IN_FLIGHT_SECONDS)

    def remembered(self, owner: str, key: str, answered: Answered) -> Remembered:
        """The answer, as it is kept for a day with the job that is made."""
        text = json.dumps({"fingerprint": answered.fingerprint, "job_id": answered.job_id})
        return Remembered(self._name(owner, key), text, KEPT_SECONDS)

    async def release(self, owner: str, key: str, job_id: str) -> None:
        """Free the key of a request that led to nothing, so that it can be mended and sent again; unless it did lead to
        a job, or lapsed and went to another."""
        with contextlib.suppress(RedisError):  # it lapses
            await self._run(RELEASE, owner, key, job_id)

    async def _run(self, script: Script, owner: str, key: str, job_id: str, **more: float) -> Any:
        arguments: dict[str, Argument] = {"key": self._name(owner, key), **more}
        return await self._scripts.do(Call(script, as_it_is, job_id, arguments))

    @staticmethod
    def _name(owner: str, key: str) -> str:
        return f"{IDEMPOTENCY}{owner}:{hashlib.sha256(key.encode()).hexdigest()}"


def in_flight(key: str) -> ProblemError:
    """The refusal of a request while another one with its key is in progress."""
    return ProblemError(
        ProblemType.IDEMPOTENCY_IN_FLIGHT,
        f"a request with Idempotency-Key {key!r} is in progress",
        got=key,
        headers={"Retry-After": "1"},
    )
