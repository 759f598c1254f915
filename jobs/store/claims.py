"""A worker's hold on a job, from taking it to its end: every write is fenced by the lock."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

from redis import RedisError

from jobs.problems import Problem, ProblemType
from jobs.schemas import JobKind, JobStatus, Progress, Result
from jobs.settings import LEASE_S
from jobs.store.held import HELD, ClaimLostError, run_held
from jobs.store.names import Key, lock_key
from jobs.store.records import Claim, Fragment, Refusal, Waited, known_spec
from jobs.store.scripts import Argument, JobStoreError, Script, Scripts

MAX_DELIVERIES = 3
TOKEN_SECONDS = 7200  # for so long it is known which job a message was used for

# kinds (all), holder, lock (its value), lease_ms, max_deliveries, poison (the problem when there are more), token (if
# any), token_s, part (the one wanted, if any)
# -> outcome, part, 1 when the job is cut into parts, attempt, owner, specification, id of the request that made it, its
# traceparent or '', and for one that has it, as JSON: when it was made, queued last and claimed, and the `began:PART`
# of before
CLAIM = Script("""
local function wants(event)  -- whether the job's webhook is to tell of it
  for _, each in ipairs(get('webhook') and cjson.decode(get('webhook')).events or {}) do
    if each == event then return true end
  end
  return false
end
if redis.call('EXISTS', job) == 0 then
  for _, kind in ipairs(a.kinds) do redis.call('ZREM', GOING .. kind, id) end
  return {'unknown'}
end
if not live() then dequeue() return {'finished'} end
local part, parted = '', cut()
if parted then
  part = a.part
  if not (part and redis.call('ZSCORE', open, part)) then part = redis.call('ZRANGE', open, 0, 0)[1] end
  if not part or free(a.holder) == 0 then return {'busy'} end
end
if redis.call('EXISTS', lock_of(part)) == 1 then return {'busy'} end
if get('cancel') then
  if not held() then finish(CANCELED) end
  return {'finished'}
end
if late() then return {'finished'} end
if deliveries(part) >= a.max_deliveries then
  insist()
  redis.call('HSET', job, 'error', a.poison)
  finish(FAILED)
  return {'exhausted'}
end
redis.call('SET', lock_of(part), a.lock, 'PX', a.lease_ms)
local attempt, at = delivered(part, 1), now()
if not get('started_at') then observe('wait|' .. get('kind'), tonumber(at) - tonumber(get('created_at'))) end
if a.token then redis.call('SET', TOKEN .. a.token, id .. '|' .. part, 'EX', a.token_s) end
take_turn()
if parted then
  redis.call('ZREM', open, part)
  redis.call('SADD', taken, part)
  redis.call('HSET', segments, 'worked_since:' .. part, at)
  offer()
else
  redis.call('HSET', job, 'status', RUNNING, 'claimed_at', at)
  if redis.call('HSETNX', job, 'started_at', at) == 1 and wants(JOB_STARTED) then
    redis.call('HSET', job, 'webhook_attempts' .. STARTED, 0)
    redis.call('ZADD', WEBHOOKS, at, id .. STARTED)
  end
  redis.call('HDEL', job, 'progress', 'stages')
  for _, field in ipairs(redis.call('HKEYS', job)) do
    if string.sub(field, 1, #TIMING_PREFIX) == TIMING_PREFIX then redis.call('HDEL', job, field) end
  end
  redis.call('ZADD', RUNNING_JOBS, at, id)
  publish_status(RUNNING)
end
local times = ''
if get('traceparent') then
  local hash, began = part == '' and job or segments, 'began:' .. part
  local before = redis.call('HGET', hash, began)
  redis.call('HSET', hash, began, attempt .. '|' .. at)
  times = cjson.encode({get('created_at'), get('queued_at'), at, before or cjson.null})
end
return {'claimed', part, parted and 1 or 0, attempt, get('owner'), redis.call('GET', spec), get('request_id') or '',
        get('traceparent') or '', times}
""")

# lease_ms, progress (if any), rendered (frames of a segment, if it is one) -> 'ok' | 'canceled'
RENEW = Script(
    HELD
    + """
redis.call('PEXPIRE', lock_of(a.part), a.lease_ms)
if a.rendered then
  redis.call('HSET', segments, 'at:' .. a.part, a.rendered)
  report_rendered()
elseif a.progress and (not cut() or a.part == JOIN) then  -- of a plan only what is rendered of it is told
  redis.call('HSET', job, 'progress', a.progress)
  publish('progress', a.progress)
end
if get('cancel') then return 'canceled' end
return 'ok'
"""
)

# timings: stage and seconds (a text) of each
TIMINGS = Script(
    HELD
    + """
for _, each in ipairs(a.timings) do
  local field = TIMING_PREFIX .. each.stage
  if redis.call('HEXISTS', job, field) == 0 then  -- a hash keeps no order, so the stages' is kept beside it
    redis.call('HSET', job, 'stages', (get('stages') or '') .. each.stage .. '\\n')
  end
  redis.call('HINCRBYFLOAT', job, field, each.seconds)
end
return 'ok'
"""
)

# status, fields to set, files (keys of fragments, by field), made (how many of what, if anything) -> 'ok'
FINISH = Script(
    HELD
    + """
insist()
leave_part(a.part)
for field, value in pairs(a.fields) do redis.call('HSET', job, field, value) end
for field, value in pairs(a.files or {}) do redis.call('HSET', segments, field, value) end
finish(a.status)
for what, amount in pairs(a.made or {}) do count('made|' .. what, amount) end
return 'ok'
"""
)

GIVE_BACK = Script(
    HELD + "insist() delivered(a.part, -1) if cut() then reopen(a.part) else requeue() end return 'ok'",
)

# What is set aside is not worked on, and not delivered either, should its holder die.
SET_ASIDE = Script(HELD + "delivered(a.part, -1) rest(a.part) return 'ok'")
TAKE_UP = Script(
    HELD
    + """
delivered(a.part, 1)
if cut() then redis.call('HSET', segments, 'worked_since:' .. a.part, now()) end
return 'ok'
"""
)

# lock (its value): free a lock whose holder is known to be dead, of the job or of one part -> 1 when it was freed
BREAK_LOCK = Script("""
if redis.call('GET', lock_of(a.part)) ~= a.lock then return 0 end
redis.call('DEL', lock_of(a.part))
if live() then
  lose()
  if cut() then reopen(a.part) else redis.call('HDEL', job, 'claimed_at') end
end
return 1
""")

# part, problem, least: end a job nobody holds any more, or whose holder cannot speak for itself; of one whose part was
# not delivered so often (`least`) the part is only given up by who had it
ABANDON = Script("""
if redis.call('EXISTS', job) == 0 or not live() or deliveries(a.part) < a.least then return 0 end
insist()
redis.call('HSET', job, 'error', a.problem)
finish(FAILED)
return 1
""")


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
        part: str | None = None,
        lease_s: float = LEASE_S,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> Claim | Refusal:
        """Take a job for `lease_s` seconds, or say why not. `holder` names the process, as `machine:pid`, and `token`
        the message that called for it.

        Of a video that is cut a part is taken: `part` if it can be had, else the first of those that wait.
        """
        lock = f"{holder}|{secrets.token_hex(8)}"
        lease_ms = int(1000 * lease_s)
        poison = Problem.of(
            ProblemType.WORKER_LOST, f"given up after {max_deliveries} attempts that each ended its worker"
        ).model_dump_json()
        outcome, *rest = self._run(
            CLAIM,
            job_id,
            kinds=[kind.value for kind in JobKind],
            holder=holder,
            part=part,
            lock=lock,
            lease_ms=lease_ms,
            max_deliveries=max_deliveries,
            poison=poison,
            token=token or None,
            token_s=TOKEN_SECONDS,
        )
        if outcome != "claimed":
            return Refusal(outcome)
        part, cut, attempt, owner, text, request_id, traceparent, times = cast(
            "tuple[str, int, int, str, str, str, str, str]", rest
        )
        spec = known_spec(text)
        if spec is None:
            strange = "the worker that took it is older than what the job asks for; run it again when all are renewed"
            self.abandon(job_id, Problem.of(ProblemType.INTERNAL, strange))
            return Refusal.STRANGE
        return Claim(
            job_id=job_id,
            part=part,
            cut=bool(cut),
            lock=lock,
            lease_ms=lease_ms,
            attempt=attempt,
            owner=owner,
            spec=spec,
            request_id=request_id or None,
            traceparent=traceparent or None,
            waited=_waited(attempt, *json.loads(times)) if times else None,
        )

    def renew(self, claim: Claim) -> None:
        """Keep the lock for another lease. Raises ClaimLostError or JobCanceledError."""
        self._renew(claim)

    def progress(self, claim: Claim, progress: Progress) -> None:
        """Say where the job is, which also renews the lock. Raises ClaimLostError or JobCanceledError.

        Of a segment its frames that are rendered are added to those of the others.
        """
        if claim.segment is None:
            self._renew(claim, progress=progress.model_dump_json())
        else:
            self._renew(claim, rendered=progress.done)

    def timings(self, claim: Claim, seconds: Mapping[str, float]) -> None:
        """Add to the seconds spent in each stage, in the order of the stages. Raises ClaimLostError."""
        timings = [{"stage": stage, "seconds": repr(float(spent))} for stage, spent in seconds.items()]
        self._held(TIMINGS, claim, timings=timings)

    def succeed(
        self,
        claim: Claim,
        result: Result,
        *,
        key: str,
        made: Mapping[str, int] | None = None,
        fragment: Fragment | None = None,
    ) -> None:
        """End the job with the artifact `key`, which is whole by now. Raises ClaimLostError.

        `made` says how many of what the job made, which is counted: frames, images. `fragment` is the only one of a
        video that was not cut.
        """
        fields, files = {"result": result.model_dump_json(), "result_key": key}, {}
        if fragment is not None:
            fields |= {"plan": fragment.shared.model_dump_json(), "frames": str(fragment.frames), "planned": "1"}
            fields |= {"opened": "1", "playable": "1"}
            files = {"file:0": fragment.key, "frames:0": str(fragment.frames), "bytes": str(fragment.bytes)}
        self._held(FINISH, claim, status=JobStatus.SUCCEEDED, fields=fields, files=files, made=made)

    def fail(self, claim: Claim, problem: Problem) -> None:
        """End the job with a problem. Raises ClaimLostError."""
        self._held(FINISH, claim, status=JobStatus.FAILED, fields={"error": problem.model_dump_json()})

    def cancel(self, claim: Claim) -> None:
        """End the job as canceled, in answer to JobCanceledError. Raises ClaimLostError."""
        self._held(FINISH, claim, status=JobStatus.CANCELED, fields={})

    def give_back(self, claim: Claim) -> None:
        """Return what was claimed to its queue without counting the delivery (shutdown). Raises ClaimLostError."""
        self._held(GIVE_BACK, claim)

    @contextmanager
    def set_aside(self, claim: Claim) -> Iterator[None]:
        """While the block runs, the end of this process is not counted against the claim: it works on something else.

        Raises ClaimLostError.
        """
        self._held(SET_ASIDE, claim)
        try:
            yield
        except BaseException:  # told to stop, most likely
            with suppress(ClaimLostError, RedisError):
                self._held(TAKE_UP, claim)
            raise
        self._held(TAKE_UP, claim)

    def lock(self, job_id: str, part: str = "") -> str | None:
        """The value of the lock of a job, or of a part of it: it begins with its holder and a bar. None if nobody has
        it."""
        return cast("str | None", self._redis.get(lock_key(job_id, part)))

    def break_lock(self, job_id: str, lock: str, *, part: str = "") -> bool:
        """Free the lock if it still has this value; only for a holder known to be dead."""
        return bool(self._run(BREAK_LOCK, job_id, lock=lock, part=part))

    def lost(self) -> dict[JobKind, int]:
        """How often a job of each kind, or a part of one, was lost with its worker."""
        counts = cast("dict[str, str]", self._redis.hgetall(Key.LOST))
        return {kind: int(counts.get(kind, 0)) for kind in JobKind}

    def abandon(self, job_id: str, problem: Problem, *, part: str = "", least: int = 0) -> bool:
        """Fail a live job whoever holds it: its message could not be sent, or its process was ended.

        With `least` only where the part was delivered so often.
        """
        return bool(self._run(ABANDON, job_id, problem=problem.model_dump_json(), part=part, least=least))

    def _renew(self, claim: Claim, *, progress: str | None = None, rendered: int | None = None) -> None:
        if self._held(RENEW, claim, lease_ms=claim.lease_ms, progress=progress, rendered=rendered) == "canceled":
            raise JobCanceledError(f"job {claim.job_id} is to be canceled")

    def _held(self, script: Script, claim: Claim, **arguments: Argument) -> Any:
        return run_held(self._run, script, claim, **arguments)


def _waited(attempt: int, created_at: str, queued_at: str, claimed_at: str, before: str | None) -> Waited:
    number, _, began = (before or "").partition("|")
    lost_at = float(began) if began and int(number) < attempt else None  # else it was given back, which does not count
    return Waited(float(created_at), float(queued_at), float(claimed_at), lost_at)
