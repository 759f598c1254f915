"""How long a job will wait, by the pace of the jobs before it."""

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.kinds import KINDS
from jobs.schemas import JobKind


@dataclass(frozen=True)
class WaitEstimate:
    """`paces` are seconds a job of a kind takes of late, `waiting` how many wait, `workers` how many live."""

    paces: Mapping[JobKind, float]
    waiting: Mapping[JobKind, int]
    running: int
    workers: int

    def wait_s(self, kind: JobKind, position: int) -> float | None:
        """Seconds until the job with `position` others of its kind before it begins; None where nothing is known.

        Workers take what waits in the queues before theirs (images before motions before videos) first. When all are
        busy, one is taken to be free after half a job's time.
        """
        pace = self.paces.get(kind)
        if pace is None or not self.workers:
            return None
        sooner = [each for each in JobKind if KINDS[each].priority < KINDS[kind].priority]
        work = position * pace + sum(self.waiting[each] * self.paces.get(each, pace) for each in sooner)
        if self.running >= self.workers:
            work += pace / 2 * self.workers
        return round(work / self.workers, 1)
