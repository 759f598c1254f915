"""Idempotency-Key: a create that is repeated with its key answers with the first one's job."""

import hashlib
import json
from dataclasses import dataclass
from typing import cast

from redis import Redis

from jobs.problems import ProblemType
from jobs.store.names import IDEMPOTENCY
from service.http.problems import ProblemError

IN_FLIGHT_SECONDS = 15 * 60
KEPT_SECONDS = 24 * 3600
MAX_KEY_LENGTH = 255


@dataclass(frozen=True)
class Answered:
    """What the first request with a key led to."""

    fingerprint: str
    job_id: str


class IdempotencyKeys:
    """Keys seen lately, in Redis, apart for each owner."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def begin(self, owner: str, key: str) -> Answered | None:
        """Claim a key; the answer when it was used before. Raises ProblemError (400; 409 while in flight)."""
        if not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable() and key.isascii()):
            raise ProblemError(
                ProblemType.BAD_REQUEST,
                f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters, got {len(key)}",
                got=key,
            )
        name = self._name(owner, key)
        if self._redis.set(name, "", nx=True, ex=IN_FLIGHT_SECONDS):
            return None
        stored = cast("str | None", self._redis.get(name))
        if not stored:
            raise ProblemError(
                ProblemType.IDEMPOTENCY_IN_FLIGHT,
                f"a request with Idempotency-Key {key!r} is in progress",
                got=key,
                headers={"Retry-After": "1"},
            )
        return Answered(**json.loads(stored))

    def finish(self, owner: str, key: str, answered: Answered) -> None:
        """Keep the answer for a day."""
        text = json.dumps({"fingerprint": answered.fingerprint, "job_id": answered.job_id})
        self._redis.set(self._name(owner, key), text, ex=KEPT_SECONDS)

    def release(self, owner: str, key: str) -> None:
        """Free the key of a request that led to nothing, so that it can be mended and sent again."""
        self._redis.delete(self._name(owner, key))

    @staticmethod
    def _name(owner: str, key: str) -> str:
        return f"{IDEMPOTENCY}{owner}:{hashlib.sha256(key.encode()).hexdigest()}"
