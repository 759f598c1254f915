"""A worker's hold on a job, from taking it to its end: every write is fenced by the lock."""

import secrets
from typing import cast

from jobs.problems import Problem, ProblemType
from jobs.queues import VISIBILITY_TIMEOUT_S
from jobs.schemas import JOB_SPEC, JobStatus, Progress, Result
from jobs.settings import LEASE_S
from jobs.store.records import Claim, Refusal
from jobs.store.scripts import JobStoreError, Scripted

MAX_DELIVERIES = 3
TOKEN_SECONDS = 2 * VISIBILITY_TIMEOUT_S


# lock value, lease in ms, most deliveries, problem when there are more, token or '', its life in seconds
# -> outcome, attempt, owner, specification, id of the request that made the job
CLAIM = """
if redis.call('EXISTS', job) == 0 then return {'unknown'} end
if not live() then return {'finished'} end
if redis.call('EXISTS', lock) == 1 then return {'busy'} end
if get('cancel') then finish('canceled'); return {'finished'} end
if late() then return {'finished'} end
if tonumber(get('deliveries')) >= tonumber(ARGV[5]) then
  redis.call('HSET', job, 'error', ARGV[6])
  finish('failed')
  return {'exhausted'}
end
redis.call('SET', lock, ARGV[3], 'PX', ARGV[4])
local attempt = redis.call('HINCRBY', job, 'deliveries', 1)
local at = now()
if not get('started_at') then observe('wait|' .. get('kind'), tonumber(at) - tonumber(get('created_at'))) end
if ARGV[7] ~= '' then redis.call('SET', prefix .. 'token:' .. ARGV[7], id, 'EX', ARGV[8]) end
redis.call('HSET', job, 'status', 'running', 'claimed_at', at)
redis.call('HSETNX', job, 'started_at', at)
redis.call('HDEL', job, 'progress', 'stages')
for _, field in ipairs(redis.call('HKEYS', job)) do
  if string.sub(field, 1, 7) == 'timing:' then redis.call('HDEL', job, field) end
end
local kind, served = get('kind'), math.max(virtual(), tonumber(get('place') or 0))
redis.call('SET', prefix .. 'virtual:' .. kind, string.format('%.6f', served))
redis.call('ZREMRANGEBYSCORE', prefix .. 'ends:' .. kind, '-inf', math.floor(served))
dequeue()
redis.call('ZADD', prefix .. 'running', at, id)
publish_status('running')
return {'claimed', attempt, get('owner'), redis.call('GET', spec), get('request_id') or ''}
"""

# What the holder of the lock does. Each takes the lock's value first and answers 'lost' when it is another's.
HELD = "if redis.call('GET', lock) ~= ARGV[3] then return 'lost' end\n"

# lease in ms, progress or '' -> 'ok' | 'canceled'
RENEW = (
    HELD
    + """
redis.call('PEXPIRE', lock, ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', job, 'progress', ARGV[5]); publish('progress', ARGV[5]) end
if get('cancel') then return 'canceled' end
return 'ok'
"""
)

# stage, seconds
TIMING = (
    HELD
    + """
local field = 'timing:' .. ARGV[4]
if redis.call('HEXISTS', job, field) == 0 then  -- a hash keeps no order, so the stages' is kept beside it
  redis.call('HSET', job, 'stages', (get('stages') or '') .. ARGV[4] .. '\\n')
end
redis.call('HINCRBYFLOAT', job, field, ARGV[5])
return 'ok'
"""
)

# status, then fields and values to set
FINISH = (
    HELD
    + """
insist()
for i = 5, #ARGV, 2 do redis.call('HSET', job, ARGV[i], ARGV[i + 1]) end
finish(ARGV[4])
return 'ok'
"""
)

GIVE_BACK = HELD + "redis.call('HINCRBY', job, 'deliveries', -1) requeue() return 'ok'"

# holder: free the lock of a holder known to be dead
BREAK_LOCK = """
local value = redis.call('GET', lock)
if value and string.sub(value, 1, #ARGV[3] + 1) == ARGV[3] .. '|' then redis.call('DEL', lock) return 1 end
return 0
"""

# problem: end a job nobody holds any more, or whose holder cannot speak for itself
ABANDON = """
if redis.call('EXISTS', job) == 0 or not live() then return 0 end
redis.call('HSET', job, 'error', ARGV[3])
finish('failed')
return 1
"""


class ClaimLostError(JobStoreError):
    """The lock is another's or the job is gone: stop at once and write nothing more."""


class JobCanceledError(JobStoreError):
    """The client asked to cancel: stop and call `Claims.cancel_claimed`."""


class Claims(Scripted):
    """What workers do with jobs."""

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
        outcome, *rest = self._run(CLAIM, job_id, lock, lease_ms, max_deliveries, poison, token, TOKEN_SECONDS)
        if outcome != "claimed":
            return Refusal(outcome)
        attempt, owner, spec, request_id = rest
        return Claim(job_id, lock, lease_ms, int(attempt), owner, JOB_SPEC.validate_json(spec), request_id or None)

    def renew(self, claim: Claim) -> None:
        """Keep the lock for another lease. Raises ClaimLostError or JobCanceledError."""
        self._renew(claim, "")

    def progress(self, claim: Claim, progress: Progress) -> None:
        """Say where the job is, which also renews the lock. Raises ClaimLostError or JobCanceledError."""
        self._renew(claim, progress.model_dump_json())

    def timing(self, claim: Claim, stage: str, seconds: float) -> None:
        """Add `seconds` to the time spent in a stage. Raises ClaimLostError."""
        self._held(TIMING, claim, stage, repr(float(seconds)))

    def succeed(self, claim: Claim, result: Result, *, key: str) -> None:
        """End the job with the artifact `key`, which is whole by now. Raises ClaimLostError."""
        fields = ("result", result.model_dump_json(), "result_key", key)
        self._held(FINISH, claim, JobStatus.SUCCEEDED.value, *fields)

    def fail(self, claim: Claim, problem: Problem) -> None:
        """End the job with a problem. Raises ClaimLostError."""
        self._held(FINISH, claim, JobStatus.FAILED.value, "error", problem.model_dump_json())

    def cancel_claimed(self, claim: Claim) -> None:
        """End the job as canceled, in answer to JobCanceledError. Raises ClaimLostError."""
        self._held(FINISH, claim, JobStatus.CANCELED.value)

    def give_back(self, claim: Claim) -> None:
        """Return an unfinished job to its queue without counting the delivery (shutdown). Raises ClaimLostError."""
        self._held(GIVE_BACK, claim)

    def lock_holder(self, job_id: str) -> str | None:
        """Who holds the job (`host:pid`), or None."""
        value = self._redis.get(self._key("job", job_id, "lock"))
        return None if value is None else cast(str, value).partition("|")[0]

    def break_lock(self, job_id: str, holder: str) -> bool:
        """Free the lock if `holder` still has it; only for a holder known to be dead."""
        return bool(self._run(BREAK_LOCK, job_id, holder))

    def abandon(self, job_id: str, problem: Problem) -> bool:
        """Fail a live job whoever holds it: its message could not be sent, or its process was ended."""
        return bool(self._run(ABANDON, job_id, problem.model_dump_json()))

    def _renew(self, claim: Claim, progress: str) -> None:
        if self._held(RENEW, claim, claim.lease_ms, progress) == "canceled":
            raise JobCanceledError(f"job {claim.job_id} is to be canceled")

    def _held(self, script: str, claim: Claim, *args: str | float) -> str:
        answer = cast(str, self._run(script, claim.job_id, claim.lock, *args))
        if answer == "lost":
            raise ClaimLostError(f"job {claim.job_id} is no longer held by {claim.lock.partition('|')[0]}")
        return answer
