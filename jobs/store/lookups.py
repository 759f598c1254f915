"""Jobs as they are: one, or an owner's by pages."""

from typing import Any, cast

from jobs.schemas import JOB_SPEC, JobKind, JobSpec
from jobs.store.estimate import WaitEstimate
from jobs.store.names import Key, spec_key
from jobs.store.records import JobRecord
from jobs.store.scripts import Script, Scripts

READING = (
    f"local KINDS = {{{', '.join(repr(kind.value) for kind in JobKind)}}}"
    + """
-- Each job's fields and its place among those that wait; then, if any waits, what its wait is estimated from: paces,
-- how many run, how many wait of each kind, and how many workers live: those
-- that were heard of in the last live_s seconds
local function read(ids)
  local jobs, about = {}, false
  for i, each in ipairs(ids) do
    local fields, place = redis.call('HGETALL', JOB .. each), false
    local status, kind = unpack(redis.call('HMGET', JOB .. each, 'status', 'kind'))
    if status == QUEUED then
      place = redis.call('ZRANK', QUEUE .. kind, each)
      about = true
    end
    jobs[i] = {fields, place}
  end
  if about then
    local waiting = {}
    for i, kind in ipairs(KINDS) do waiting[i] = redis.call('ZCARD', QUEUE .. kind) end
    local workers = redis.call('ZCOUNT', WORKERS, tonumber(now()) - a.live_s, '+inf')
    local running = redis.call('ZCARD', RUNNING_JOBS)
    for _, each in ipairs(redis.call('ZRANGE', CUT_JOBS, 0, -1)) do
      running = running + redis.call('SCARD', JOB .. each .. TAKEN)
    end
    about = {redis.call('HGETALL', PACE), running, waiting, workers}
  end
  return {jobs, about}
end
"""
)

# ids, live_s -> as `read` says
READ = Script(READING + "return read(a.ids)")


class Lookups:
    """Looks at specifications, and at an owner's jobs by pages."""

    def __init__(self, scripts: Scripts, live_s: int) -> None:
        self._run = scripts.run
        self._redis = scripts.redis
        self._live_s = live_s

    def spec(self, job_id: str) -> JobSpec | None:
        """The job's specification, or None when the job is unknown or expired."""
        text = self._redis.get(spec_key(job_id))
        return None if text is None else JOB_SPEC.validate_json(cast(str, text))

    def page(self, owner: str, *, limit: int = 50, before: int | None = None) -> tuple[list[JobRecord], int | None]:
        """One page of an owner's jobs, newest first, and the `before` of the next page (None at the end)."""
        key = Key.OWNER + owner
        upper = "+inf" if before is None else f"({before}"
        found = cast("list[tuple[str, float]]", self._redis.zrevrangebyscore(
            key, upper, "-inf", start=0, num=limit + 1, withscores=True, score_cast_func=float
        ))  # fmt: skip
        page = found[:limit]
        records = records_of(self._run(READ, ids=[job_id for job_id, _ in page], live_s=self._live_s))
        if gone := {job_id for job_id, _ in page} - {record.id for record in records}:
            self._redis.zrem(key, *gone)  # their tombstones have lapsed
        return records, int(page[-1][1]) if len(found) > limit else None


def records_of(found: Any) -> list[JobRecord]:
    """The jobs that `read` found; those it was asked for and did not find are left out."""
    jobs, about = found
    estimate = None
    if about:
        pace, running, waiting, workers = about
        paces = {JobKind(kind): float(seconds) for kind, seconds in _pairs(pace).items()}
        estimate = WaitEstimate(paces, dict(zip(JobKind, waiting, strict=True)), running=running, workers=workers)
    records = []
    for flat, place in jobs:
        fields = _pairs(flat)
        if "id" in fields:
            wait_s = estimate.wait_s(JobKind(fields["kind"]), place) if estimate and place is not None else None
            records.append(JobRecord.from_hash(fields, place, wait_s))
    return records


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
