"""Whether jobs can be taken. Anyone may ask, as often as they like; the stores are asked once a second."""

import asyncio
import time

from starlette.concurrency import run_in_threadpool

from jobs.files.artifacts import ArtifactStore
from jobs.store.jobs import JobStore

FRESH_S = 1.0


class StoreReadiness:
    """What the stores answered last. However many ask, one question is under way at a time."""

    def __init__(self, store: JobStore, artifacts: ArtifactStore) -> None:
        self._store = store
        self._artifacts = artifacts
        self._answer: asyncio.Task[int] | None = None
        self._asked_at = 0.0

    async def workers(self) -> int:
        """How many workers are ready. Raises what the stores raise: redis.RedisError, ArtifactsAwayError."""
        now = time.monotonic()
        if self._answer is None or (self._answer.done() and now - self._asked_at > FRESH_S):
            self._answer = asyncio.create_task(run_in_threadpool(self._ask))
            self._asked_at = now
        return await asyncio.shield(self._answer)

    def _ask(self) -> int:
        self._store.ping()
        self._artifacts.check()
        return sum(facts.get("state") == "ready" for facts in self._store.workers.live().values())
