"""Jobs as they are: one, or an owner's by pages."""

from collections.abc import Iterable
from typing import Any, cast

from jobs.schemas import JOB_SPEC, JobKind, JobSpec
from jobs.store.estimate import Outlook
from jobs.store.records import JobRecord
from jobs.store.scripts import Scripted

READING = (
    f"local KINDS = {{{', '.join(repr(kind.value) for kind in JobKind)}}}"
    + """
-- Each job's fields and its place among those that wait; then, if any waits, what its wait is estimated from: paces,
-- how many run, how many wait of each kind, and how many workers live
local function read(ids)
  local jobs, outlook = {}, false
  for i, each in ipairs(ids) do
    local fields, place = redis.call('HGETALL', prefix .. 'job:' .. each), false
    local status, kind = unpack(redis.call('HMGET', prefix .. 'job:' .. each, 'status', 'kind'))
    if status == 'queued' then
      place = redis.call('ZRANK', prefix .. 'queue:' .. kind, each)
      outlook = true
    end
    jobs[i] = {fields, place}
  end
  if outlook then
    local waiting = {}
    for i, kind in ipairs(KINDS) do waiting[i] = redis.call('ZCARD', prefix .. 'queue:' .. kind) end
    local live = redis.call('ZCOUNT', prefix .. 'workers', tonumber(now()) - LIVE_S, '+inf')
    outlook = {redis.call('HGETALL', prefix .. 'pace'), redis.call('ZCARD', prefix .. 'running'), waiting, live}
  end
  return {jobs, outlook}
end
"""
)

# ids of jobs, '' in place of the one -> as `read` says
READ = READING + "return read({unpack(ARGV, 3)})"


class Reading(Scripted):
    """Looks at jobs and changes nothing."""

    def get(self, job_id: str) -> JobRecord | None:
        """The job, or None when there is no such job (any more)."""
        return next(iter(self._read([job_id])), None)

    def spec(self, job_id: str) -> JobSpec | None:
        """The job's specification, or None when the job is unknown or expired."""
        text = self._redis.get(self._key("job", job_id, "spec"))
        return None if text is None else JOB_SPEC.validate_json(cast(str, text))

    def page(self, owner: str, *, limit: int = 50, before: int | None = None) -> tuple[list[JobRecord], int | None]:
        """One page of an owner's jobs, newest first, and the `before` of the next page (None at the end)."""
        key = self._key("owner", owner)
        upper = "+inf" if before is None else f"({before}"
        found = cast("list[tuple[str, float]]", self._redis.zrevrangebyscore(
            key, upper, "-inf", start=0, num=limit + 1, withscores=True, score_cast_func=float
        ))  # fmt: skip
        page = found[:limit]
        records = self._read([job_id for job_id, _ in page])
        if gone := {job_id for job_id, _ in page} - {record.id for record in records}:
            self._redis.zrem(key, *gone)  # their tombstones have lapsed
        return records, int(page[-1][1]) if len(found) > limit else None

    def _read(self, job_ids: Iterable[str]) -> list[JobRecord]:
        return records_of(self._run(READ, "", *job_ids))


def records_of(found: Any) -> list[JobRecord]:
    """The jobs that `read` found; those it was asked for and did not find are left out."""
    jobs, about = found
    outlook = None
    if about:
        pace, running, waiting, workers = about
        paces = {JobKind(kind): float(seconds) for kind, seconds in _pairs(pace).items()}
        outlook = Outlook(paces, dict(zip(JobKind, waiting, strict=True)), running=running, workers=workers)
    records = []
    for flat, place in jobs:
        fields = _pairs(flat)
        if "id" in fields:
            wait_s = outlook.wait_s(JobKind(fields["kind"]), place) if outlook and place is not None else None
            records.append(JobRecord.from_hash(fields, place, wait_s))
    return records


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
