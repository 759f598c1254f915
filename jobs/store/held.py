"""Scripts that only the holder of a lock may run: what they begin with, and what tells that the lock is another's."""

from collections.abc import Callable
from typing import Any

from jobs.store.records import Claim
from jobs.store.scripts import Argument, JobStoreError, Script

# Each takes `lock`, its value, and `part`, and answers 'lost' when it is another's.
HELD = "if redis.call('GET', lock_of(a.part)) ~= a.lock or not live() then return 'lost' end\n"


class ClaimLostError(JobStoreError):
    """The lock is another's or the job is gone: stop at once and write nothing more."""


def run_held(run: Callable[..., Any], script: Script, claim: Claim, **arguments: Argument) -> Any:
    """Run a script that begins with HELD. Raises ClaimLostError."""
    answer = run(script, claim.job_id, holder=claim.holder, part=claim.part, lock=claim.lock, **arguments)
    if answer == "lost":
        raise ClaimLostError(f"job {claim.job_id} is no longer held by {claim.holder}")
    return answer
