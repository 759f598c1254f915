"""A worker's hold on a job, from taking it to its end: every write is fenced by the lock."""

import secrets
from collections.abc import Mapping
from typing import cast

from jobs.problems import Problem, ProblemType
from jobs.schemas import JOB_SPEC, JobStatus, Progress, Result
from jobs.settings import LEASE_S
from jobs.store.names import lock_key
from jobs.store.records import Claim, Refusal
from jobs.store.scripts import Argument, JobStoreError, Script, Scripts

MAX_DELIVERIES = 3
TOKEN_SECONDS = 7200  # for so long it is known which job a message was used for

# lock (its value), lease_ms, max_deliveries, poison (the problem when there are more), token (if any), token_s
# -> outcome, attempt, owner, specification, id of the request that made the job
CLAIM = Script("""
if redis.call('EXISTS', job) == 0 then return {'unknown'} end
if not live() then return {'finished'} end
if redis.call('EXISTS', lock) == 1 then return {'busy'} end
if get('cancel') then finish(CANCELED); return {'finished'} end
if late() then return {'finished'} end
if tonumber(get('deliveries')) >= a.max_deliveries then
  redis.call('HSET', job, 'error', a.poison)
  finish(FAILED)
  return {'exhausted'}
end
redis.call('SET', lock, a.lock, 'PX', a.lease_ms)
local attempt = redis.call('HINCRBY', job, 'deliveries', 1)
local at = now()
if not get('started_at') then observe('wait|' .. get('kind'), tonumber(at) - tonumber(get('created_at'))) end
if a.token then redis.call('SET', TOKEN .. a.token, id, 'EX', a.token_s) end
redis.call('HSET', job, 'status', RUNNING, 'claimed_at', at)
redis.call('HSETNX', job, 'started_at', at)
redis.call('HDEL', job, 'progress', 'stages')
for _, field in ipairs(redis.call('HKEYS', job)) do
  if string.sub(field, 1, #TIMING_PREFIX) == TIMING_PREFIX then redis.call('HDEL', job, field) end
end
local kind, served = get('kind'), math.max(virtual(), tonumber(get('place') or 0))
redis.call('SET', VIRTUAL .. kind, string.format('%.6f', served))
redis.call('ZREMRANGEBYSCORE', ENDS .. kind, '-inf', math.floor(served))
dequeue()
redis.call('ZADD', RUNNING_JOBS, at, id)
publish_status(RUNNING)
return {'claimed', attempt, get('owner'), redis.call('GET', spec), get('request_id') or ''}
""")

# What the holder of the lock does. Each takes `lock`, its value, and answers 'lost' when it is another's.
HELD = "if redis.call('GET', lock) ~= a.lock then return 'lost' end\n"

# lease_ms, progress (if any) -> 'ok' | 'canceled'
RENEW = Script(
    HELD
    + """
redis.call('PEXPIRE', lock, a.lease_ms)
if a.progress then redis.call('HSET', job, 'progress', a.progress); publish('progress', a.progress) end
if get('cancel') then return 'canceled' end
return 'ok'
"""
)

# stage, seconds (a text)
TIMING = Script(
    HELD
    + """
local field = TIMING_PREFIX .. a.stage
if redis.call('HEXISTS', job, field) == 0 then  -- a hash keeps no order, so the stages' is kept beside it
  redis.call('HSET', job, 'stages', (get('stages') or '') .. a.stage .. '\\n')
end
redis.call('HINCRBYFLOAT', job, field, a.seconds)
return 'ok'
"""
)

# status, fields to set, made (how many of what, if anything) -> 'ok'
FINISH = Script(
    HELD
    + """
insist()
for field, value in pairs(a.fields) do redis.call('HSET', job, field, value) end
finish(a.status)
for what, amount in pairs(a.made or {}) do count('made|' .. what, amount) end
return 'ok'
"""
)

GIVE_BACK = Script(HELD + "redis.call('HINCRBY', job, 'deliveries', -1) requeue() return 'ok'")

# holder: free the lock of a holder known to be dead
BREAK_LOCK = Script("""
local value = redis.call('GET', lock)
if value and string.sub(value, 1, #a.holder + 1) == a.holder .. '|' then redis.call('DEL', lock) return 1 end
return 0
""")

# problem: end a job nobody holds any more, or whose holder cannot speak for itself
ABANDON = Script("""
if redis.call('EXISTS', job) == 0 or not live() then return 0 end
redis.call('HSET', job, 'error', a.problem)
finish(FAILED)
return 1
""")


class ClaimLostError(JobStoreError):
    """The lock is another's or the job is gone: stop at once and write nothing more."""


class JobCanceledError(JobStoreError):
    """The client asked to cancel: stop and call `Claims.cancel`."""


class Claims:
    """What workers do with jobs."""

    def __init__(self, scripts: Scripts) -> None:
        self._run = scripts.run
        self._redis = scripts.redis

    def claim(
        self,
        job_id: str,
        *,
        holder: str,
        token: str = "",
        lease_s: float = LEASE_S,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> Claim | Refusal:
        """Take a job for `lease_s` seconds, or say why not. `holder` names the process, as `host:pid`, and `token`
        the message that called for it."""
        lock = f"{holder}|{secrets.token_hex(8)}"
        lease_ms = int(1000 * lease_s)
        poison = Problem.of(
            ProblemType.WORKER_LOST, f"given up after {max_deliveries} attempts that each ended its worker"
        ).model_dump_json()
        outcome, *rest = self._run(
            CLAIM,
            job_id,
            lock=lock,
            lease_ms=lease_ms,
            max_deliveries=max_deliveries,
            poison=poison,
            token=token or None,
            token_s=TOKEN_SECONDS,
        )
        if outcome != "claimed":
            return Refusal(outcome)
        attempt, owner, spec, request_id = rest
        return Claim(job_id, lock, lease_ms, int(attempt), owner, JOB_SPEC.validate_json(spec), request_id or None)

    def renew(self, claim: Claim) -> None:
        """Keep the lock for another lease. Raises ClaimLostError or JobCanceledError."""
        self._renew(claim)

    def progress(self, claim: Claim, progress: Progress) -> None:
        """Say where the job is, which also renews the lock. Raises ClaimLostError or JobCanceledError."""
        self._renew(claim, progress.model_dump_json())

    def timing(self, claim: Claim, stage: str, seconds: float) -> None:
        """Add `seconds` to the time spent in a stage. Raises ClaimLostError."""
        self._held(TIMING, claim, stage=stage, seconds=repr(float(seconds)))

    def succeed(self, claim: Claim, result: Result, *, key: str, made: Mapping[str, int] | None = None) -> None:
        """End the job with the artifact `key`, which is whole by now. Raises ClaimLostError.

        `made` says how many of what the job made, which is counted: frames, images.
        """
        fields = {"result": result.model_dump_json(), "result_key": key}
        self._held(FINISH, claim, status=JobStatus.SUCCEEDED, fields=fields, made=made)

    def fail(self, claim: Claim, problem: Problem) -> None:
        """End the job with a problem. Raises ClaimLostError."""
        self._held(FINISH, claim, status=JobStatus.FAILED, fields={"error": problem.model_dump_json()})

    def cancel(self, claim: Claim) -> None:
        """End the job as canceled, in answer to JobCanceledError. Raises ClaimLostError."""
        self._held(FINISH, claim, status=JobStatus.CANCELED, fields={})

    def give_back(self, claim: Claim) -> None:
        """Return an unfinished job to its queue without counting the delivery (shutdown). Raises ClaimLostError."""
        self._held(GIVE_BACK, claim)

    def lock_holder(self, job_id: str) -> str | None:
        """Who holds the job (`host:pid`), or None."""
        value = self._redis.get(lock_key(job_id))
        return None if value is None else cast(str, value).partition("|")[0]

    def break_lock(self, job_id: str, holder: str) -> bool:
        """Free the lock if `holder` still has it; only for a holder known to be dead."""
        return bool(self._run(BREAK_LOCK, job_id, holder=holder))

    def abandon(self, job_id: str, problem: Problem) -> bool:
        """Fail a live job whoever holds it: its message could not be sent, or its process was ended."""
        return bool(self._run(ABANDON, job_id, problem=problem.model_dump_json()))

    def _renew(self, claim: Claim, progress: str | None = None) -> None:
        if self._held(RENEW, claim, lease_ms=claim.lease_ms, progress=progress) == "canceled":
            raise JobCanceledError(f"job {claim.job_id} is to be canceled")

    def _held(self, script: Script, claim: Claim, **arguments: Argument) -> str:
        answer = cast(str, self._run(script, claim.job_id, lock=claim.lock, **arguments))
        if answer == "lost":
            raise ClaimLostError(f"job {claim.job_id} is no longer held by {claim.lock.partition('|')[0]}")
        return answer
