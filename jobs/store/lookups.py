"""Jobs as they are: one, or an owner's by pages."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.schemas import JobKind
from jobs.store.estimate import WaitEstimate
from jobs.store.records import JobRecord
from jobs.store.scripts import Script, Scripts

READING = (
    f"local KINDS = {{{', '.join(repr(kind.value) for kind in JobKind)}}}"
    + """
-- Each job's fields, its place among those that wait and, if asked for, its specification; then, if any waits, what its
-- wait is estimated from: paces, how many run, how many wait of each kind, and how many workers live: those
-- that were heard of in the last live_s seconds
local function read(ids, specs)
  local jobs, about = {}, false
  for i, each in ipairs(ids) do
    local fields, place = redis.call('HGETALL', JOB .. each), false
    local status, kind = unpack(redis.call('HMGET', JOB .. each, 'status', 'kind'))
    if status == QUEUED then
      place = redis.call('ZRANK', QUEUE .. kind, each)
      about = true
    end
    jobs[i] = {fields, place, specs and redis.call('GET', JOB .. each .. SPEC) or false}
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

# ids, specs (whether they are wanted), live_s -> as `read` says
READ = Script(READING + "return read(a.ids, a.specs)")

# owner, limit, before (a number, if any), looks (at most), filters (each if any): status, kind (lists), since and till
# (times), metadata (pairs as they stand in its JSON, which is not parsed), live_s -> jobs as `read` says; the number to
# go on before, or nothing at the end
PAGE = Script(
    READING
    + """
local function set(list)
  local found = {}
  for _, each in ipairs(list) do found[each] = true end
  return found
end
local status, kind = a.status and set(a.status), a.kind and set(a.kind)
local function wanted(each, created_at)
  local its = redis.call('HMGET', JOB .. each, 'status', 'kind', 'metadata')
  if status and not status[its[1]] or kind and not kind[its[2]] then return false end
  if a.till and created_at >= a.till then return false end
  for _, pair in ipairs(a.metadata or {}) do if not string.find(its[3] or '', pair, 1, true) then return false end end
  return true
end
local owned, ids, last = OWNER .. a.owner, {}, nil
local listed = redis.call('ZREVRANGEBYSCORE', owned, a.before and '(' .. a.before or '+inf', '-inf', 'WITHSCORES',
                          'LIMIT', 0, a.looks + 1)
for i = 1, #listed, 2 do
  if #ids == a.limit or i > 2 * a.looks then return {read(ids), last} end
  local each = listed[i]
  last = listed[i + 1]
  local created_at = tonumber(redis.call('HGET', JOB .. each, 'created_at'))
  if not created_at then redis.call('ZREM', owned, each)  -- its tombstone has lapsed
  elseif a.since and created_at < a.since then break
  elseif wanted(each, created_at) then ids[#ids + 1] = each end
end
return {read(ids), false}
"""
)
LOOKS = 1000  # at jobs for one page, of which filters may leave none


@dataclass(frozen=True)
class Filters:
    """Which jobs are wanted: of one of these states and kinds, made from `since` on and before `till` (seconds since
    1970), with all of this metadata. What is not given leaves all."""

    status: Sequence[str] | None = None
    kind: Sequence[str] | None = None
    since: float | None = None
    till: float | None = None
    metadata: Mapping[str, str] | None = None


ALL = Filters()


class Lookups:
    """Looks at an owner's jobs by pages."""

    def __init__(self, scripts: Scripts, live_s: int) -> None:
        self._run = scripts.run
        self._live_s = live_s

    def page(
        self, owner: str, filters: Filters = ALL, *, limit: int = 50, before: int | None = None
    ) -> tuple[list[JobRecord], int | None]:
        """One page of an owner's jobs, newest first, and the `before` of the next page (None at the end).

        A page may hold fewer than `limit` though there is a next one, since only so many are looked at.
        """
        wanted = {name: value for name, value in vars(filters).items() if value is not None}
        if filters.metadata:  # a quotation mark is escaped inside texts, so a pair is found nowhere else
            wanted["metadata"] = [json.dumps({name: value})[1:-1] for name, value in filters.metadata.items()]
        found, after = self._run(
            PAGE, owner=owner, limit=limit, before=before, looks=LOOKS, live_s=self._live_s, **wanted
        )
        return records_of(found), None if after is None else int(after)


def records_of(found: Any) -> list[JobRecord]:
    """The jobs that `read` found; those it was asked for and did not find are left out."""
    jobs, about = found
    estimate = None
    if about:
        pace, running, waiting, workers = about
        paces = {JobKind(kind): float(seconds) for kind, seconds in _pairs(pace).items()}
        estimate = WaitEstimate(paces, dict(zip(JobKind, waiting, strict=True)), running=running, workers=workers)
    records = []
    for flat, place, spec in jobs:
        fields = _pairs(flat)
        if "id" in fields:
            wait_s = estimate.wait_s(JobKind(fields["kind"]), place) if estimate and place is not None else None
            records.append(JobRecord.from_hash(fields, place, wait_s, spec))
    return records


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
