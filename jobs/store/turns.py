"""Who waits, and whose turn it is."""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import cast

from redis.client import Pipeline

from jobs.schemas import JobKind
from jobs.store.names import OPEN, TAKEN, Key
from jobs.store.records import Turn
from jobs.store.scripts import Scripts


class Turns:
    """The queues, one for each kind of job."""

    def __init__(self, scripts: Scripts) -> None:
        self._redis = scripts.redis
        self._now = scripts.now

    def candidates(self, kind: JobKind, token: str) -> list[Turn]:
        """The jobs a message calls for: what it was used for before, if it is sent again, then whose turn it is.

        A message says that some job of its kind waits, not which; `token` is its id. Claim the first that can be had.
        """
        with self._redis.pipeline(transaction=False) as pipe:  # a question of its own would cost a worker as much
            pipe.get(Key.TOKEN + token)
            _ask_next(pipe, kind)
            used, *found = pipe.execute()
        before = _used_for(used)
        return [*([before] if before else []), *_in_turn(found)]

    def next(self, kind: JobKind) -> list[Turn]:
        """Whose turn it is: jobs of a kind that have not begun, and videos that have and of which parts wait."""
        with self._redis.pipeline(transaction=False) as pipe:
            _ask_next(pipe, kind)
            return _in_turn(pipe.execute())

    def going(self) -> list[Turn]:
        """The videos that have begun and of which parts wait, in turn."""
        return [Turn(job_id) for job_id in cast("list[str]", self._redis.zrange(Key.GOING + JobKind.VIDEO, 0, -1))]

    def taken(self) -> list[Turn]:
        """The jobs that somebody works on, and the parts of videos."""
        jobs = cast("list[str]", self._redis.zrange(Key.CUT_JOBS, 0, -1))
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zrange(Key.RUNNING_JOBS, 0, -1)
            for job_id in jobs:
                pipe.smembers(Key.JOB + job_id + TAKEN)
            whole, *parts = cast("list[list[str]]", pipe.execute())
        cut = [Turn(job_id, part) for job_id, each in zip(jobs, parts, strict=True) for part in sorted(each)]
        return [*map(Turn, whole), *cut]

    def turn_of_token(self, token: str) -> Turn | None:
        """What the message with this id was used for."""
        return _used_for(cast("str | None", self._redis.get(Key.TOKEN + token)))

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
        """How many jobs are held by workers, or are videos that are cut and have not ended."""
        return self._redis.zcard(Key.RUNNING_JOBS) + self._redis.zcard(Key.CUT_JOBS)

    def parts_waiting(self) -> int:
        """How many parts of videos that have begun nobody works on."""
        with self._redis.pipeline(transaction=False) as pipe:
            for turn in self.going():
                pipe.zcard(Key.JOB + turn.job_id + OPEN)
            return sum(cast("list[int]", pipe.execute()))

    def _head_made_at(self, kind: JobKind) -> float | None:
        for job_id in cast("list[str]", self._redis.zrange(Key.QUEUE + kind, 0, 0)):
            if text := self._redis.hget(Key.JOB + job_id, "created_at"):
                return float(cast(str, text))
        return None


def _ask_next(pipe: Pipeline, kind: JobKind) -> None:
    for key in (Key.QUEUE + kind, Key.GOING + kind):
        pipe.zrange(key, 0, 99, withscores=True)


def _in_turn(found: Sequence[list[tuple[str, float]]]) -> list[Turn]:
    return [Turn(job_id) for job_id, _ in sorted(chain(*found), key=itemgetter(1))]


def _used_for(text: str | None) -> Turn | None:
    if text is None:
        return None
    job_id, _, part = text.partition("|")  # workers of the version before wrote the job alone
    return Turn(job_id, part)
