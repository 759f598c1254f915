"""Who waits, and whose turn it is."""

from collections.abc import Iterator
from typing import cast

from jobs.schemas import JobKind
from jobs.store.names import Key
from jobs.store.scripts import Scripts


class Turns:
    """The queues, one for each kind of job."""

    def __init__(self, scripts: Scripts) -> None:
        self._redis = scripts.redis
        self._now = scripts.now

    def candidates(self, kind: JobKind, token: str) -> Iterator[str]:
        """The jobs a message calls for: the one it was used for before, if it is sent again, then whose turn it is.

        A message says that some job of its kind waits, not which; `token` is its id. Claim the first that can be had.
        """
        if before := self.job_of_token(token):
            yield before
        yield from cast("list[str]", self._redis.zrange(Key.QUEUE + kind, 0, 99))

    def job_of_token(self, token: str) -> str | None:
        """The job that the message with this id was used for."""
        return cast("str | None", self._redis.get(Key.TOKEN + token))

    def waiting(self, kind: JobKind, owner: str) -> tuple[int, int]:
        """How many jobs of a kind wait, and how many of them are an owner's."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(Key.QUEUE + kind)
            pipe.hget(Key.WAITING + kind, owner)
            every, own = pipe.execute()
        return int(every), int(own or 0)

    def queue_lengths(self) -> dict[JobKind, int]:
        """How many jobs of each kind wait."""
        with self._redis.pipeline(transaction=False) as pipe:
            for kind in JobKind:
                pipe.zcard(Key.QUEUE + kind)
            return dict(zip(JobKind, cast("list[int]", pipe.execute()), strict=True))

    def oldest_waiting_s(self) -> dict[JobKind, float]:
        """How long the job at the head of each queue has waited, in seconds; 0 where none waits."""
        now = self._now()
        made = {kind: self._head_made_at(kind) for kind in JobKind}
        return {kind: 0.0 if at is None else max(0.0, now - at) for kind, at in made.items()}

    def running_count(self) -> int:
        """How many jobs are held by workers."""
        return self._redis.zcard(Key.RUNNING_JOBS)

    def _head_made_at(self, kind: JobKind) -> float | None:
        for job_id in cast("list[str]", self._redis.zrange(Key.QUEUE + kind, 0, 0)):
            if text := self._redis.hget(Key.JOB + job_id, "created_at"):
                return float(cast(str, text))
        return None
