"""What a worker process holds of jobs, and what those of its machine held that have died."""

import os
import threading
from collections.abc import Callable, Iterable

import structlog

from jobs.store.jobs import JobStore
from jobs.store.records import Claim, Refusal, Turn

log = structlog.get_logger(__name__)


class Holds:
    """Claims jobs and parts of them for the process `holder`, as `machine:pid`, and frees what the dead had.

    `tell` is called with a video of which a part is free again, `exhausted` with a job that was given up.
    """

    def __init__(
        self,
        store: JobStore,
        holder: str,
        *,
        lease_s: float,
        tell: Callable[[str], None],
        exhausted: Callable[[str], None],
    ) -> None:
        self._store = store
        self._holder = holder
        self._machine = holder.rpartition(":")[0]
        self._lease_s = lease_s
        self._tell = tell
        self._exhausted = exhausted
        self._mine: set[str] = set()  # locks of what is worked on: a plan may be set aside for something else
        self._claiming = threading.Lock()

    def first_of(self, turns: Iterable[Turn], token: str = "") -> Claim | None:
        """Claim the first that can be had; `token` is of the message that called for one."""
        for turn in turns:
            claim = self._claim(turn, token)
            if isinstance(claim, Claim):
                return claim
            log.info("stepped back", job_id=turn.job_id, reason=claim.value)
        return None

    def forget(self, claim: Claim) -> None:
        """Work on a claim no more: where it has not ended, it is freed like those of the dead."""
        self._mine.discard(claim.lock)

    def _claim(self, turn: Turn, token: str) -> Claim | Refusal:
        """Claim a job or a part of it, also from a process of this machine that has died."""

        def claim() -> Claim | Refusal:
            with self._claiming:
                found = self._store.claims.claim(
                    turn.job_id, holder=self._holder, token=token, part=turn.part, lease_s=self._lease_s
                )
                if isinstance(found, Claim):
                    self._mine.add(found.lock)
                return found

        claimed = claim()
        if claimed is Refusal.BUSY and self._free_if_dead(turn.job_id, turn.part or ""):
            claimed = claim()
        if claimed is Refusal.EXHAUSTED:
            self._exhausted(turn.job_id)
        return claimed

    def _free_if_dead(self, job_id: str, part: str) -> bool:
        lock = self._store.claims.lock(job_id, part)
        with self._claiming:
            if lock is None or lock in self._mine:
                return False
        holder = lock.partition("|")[0]
        if not self._is_dead(holder) or not self._store.claims.break_lock(job_id, lock, part=part):
            return False
        log.warning("its worker died, taking over", job_id=job_id, part=part or None, holder=holder)
        return True

    def free_the_dead(self) -> None:
        """Free what processes of this machine had that have died: nobody else sees it as soon. Nor do they count.

        Parts of videos are there for whoever hears of it; other jobs are queued again by the front-end.
        """
        for name in self._store.workers.names():
            if name != self._holder and self._is_dead(name):
                self._store.workers.leave(name)
        for turn in self._store.turns.taken():
            if self._free_if_dead(turn.job_id, turn.part or "") and turn.part is not None:
                self._tell(turn.job_id)

    def _is_dead(self, holder: str) -> bool:
        """Whether a holder is known not to live. One of this process' own number, with a lock that is not of what this
        works on, was an earlier one, or has given up."""
        machine, _, pid = holder.rpartition(":")
        return machine == self._machine and (holder == self._holder or not _process_exists(int(pid)))


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
