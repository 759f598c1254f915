"""A video that is cut into parts: its plan, its segments and the join, from the first that is planned to the last.

The plan's holder opens segments one after the other, workers claim them like jobs (`jobs.store.claims`), and who ends
the last one finds the join open. While workers are given new weights, some segments are by the old ones and some by the
new ones; in the end those by the old ones are rendered again.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

from jobs.store.held import HELD, run_held
from jobs.store.names import OPEN, Key, Mixed, segments_key
from jobs.store.records import Claim, Followed, Found, Fragment, Shared, Stream, StreamSegment
from jobs.store.scripts import Script, Scripts

RECORD_BYTES = 512  # what Redis holds of a segment, about

# Workers tell by which weights they make things. One of the version before does not, and what it made may be by any.
WEIGHTS = """
local function weights_of(worker) return redis.call('HGET', WORKER .. worker, 'weights') or nil end
"""

# plan (what segments share), frames (if known), most_workers (if bounded) -> how many segments were opened before, all
# by the same weights: a plan that is made again by others begins anew, and so does what was rendered
BEGIN = Script(
    HELD
    + WEIGHTS
    + """
local weights, before = weights_of(a.holder), get('weights')
if weights then redis.call('HSET', job, 'weights', weights) end
if cut() then
  if not (weights and before) or weights == before then return tonumber(get('opened')) end
  for _, each in ipairs(redis.call('SMEMBERS', taken)) do if each ~= a.part then leave_part(each) end end
  redis.call('DEL', open)
  for index = 0, get('opened') - 1 do redis.call('HDEL', segments, 'weights:' .. index, 'deliveries:' .. index) end
  redis.call('HSET', segments, 'rendered', 0, 'bytes', 0)
  redis.call('HSET', job, 'opened', 0)
  report_rendered()
  return 0
end
redis.call('HSET', job, 'opened', 0, 'playable', 0, 'plan', a.plan)
if a.frames then redis.call('HSET', job, 'frames', a.frames) end
if a.most_workers then redis.call('HSET', job, 'most_workers', a.most_workers) end
redis.call('SADD', taken, a.part)
redis.call('HSET', segments, 'worked_since:' .. a.part, get('claimed_at'))
redis.call('ZREM', RUNNING_JOBS, id)
redis.call('ZADD', CUT_JOBS, get('claimed_at'), id)
return 0
"""
)

# index, key (of its plan), record_bytes -> 1 when a message is to be sent, else 0
OPEN_SEGMENT = Script(
    HELD
    + """
if a.index < tonumber(get('opened')) then  -- by an attempt before, or the answer was lost
  return redis.call('HGET', segments, 'plan:' .. a.index) == a.key and redis.call('ZSCORE', open, a.index) and 1 or 0
end
redis.call('HSET', job, 'opened', a.index + 1)
if redis.call('HEXISTS', segments, 'plan:' .. a.index) == 0 then hold('records', a.record_bytes) end
redis.call('HSET', segments, 'plan:' .. a.index, a.key)
redis.call('ZADD', open, a.index, a.index)
return offer() < redis.call('ZCARD', open) and 0 or 1
"""
)

# What is rendered again is played as it was until then, so that a playlist keeps what it listed.
FINISHED_PART = (
    WEIGHTS
    + """
local function weights_of_all()  -- nil where workers that live have several, or do not tell
  local same
  for _, each in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, now() - a.live_s, '+inf')) do
    local weights = weights_of(each)
    if not weights or weights ~= (same or weights) then return nil end
    same = weights
  end
  return same
end
local function again(part)
  redis.call('HINCRBY', segments, 'rendered', -redis.call('HGET', segments, 'frames:' .. part))
  redis.call('HINCRBY', segments, 'bytes', -redis.call('HGET', segments, 'bytes:' .. part))
  redis.call('HDEL', segments, 'weights:' .. part, 'deliveries:' .. part)
  redis.call('ZADD', open, score(part), part)
end
local function join_if_done()  -- once everything is planned and rendered, and by the same weights if they can be had
  if not get('planned') or redis.call('EXISTS', open, taken) > 0 then return '' end
  local made_by, first, mixed = {}, nil, false
  for index = 0, get('opened') - 1 do
    local weights = redis.call('HGET', segments, 'weights:' .. index)
    if weights then
      first = first or weights
      made_by[index], mixed = weights, mixed or weights ~= first
    end
  end
  local all = mixed and weights_of_all()
  if not all then
    redis.call('ZADD', open, score(JOIN), JOIN)
    if mixed then redis.call('HINCRBY', MIXED, MIXED_LEFT, 1) end
    return mixed and MIXED_LEFT or ''
  end
  for index, weights in pairs(made_by) do if weights ~= all then again(tostring(index)) end end
  redis.call('HSET', job, 'queued_at', now())
  redis.call('HINCRBY', MIXED, MIXED_AGAIN, 1)
  report_rendered()
  return MIXED_AGAIN
end
"""
)

# frames, found, live_s: nothing is planned any more -> as DONE
PLANNED = Script(
    FINISHED_PART
    + HELD
    + """
insist()
redis.call('HSET', job, 'planned', 1, 'frames', a.frames, 'found', a.found)
local before = free()
leave_part(a.part)
report_rendered()
local mixed = join_if_done()
return {math.max(0, offer() - before), mixed}
"""
)

# key, bytes, frames, live_s: a fragment is there -> for how many parts more than before a message is to be sent, and
# what becomes of segments by several weights, if there are such
DONE = Script(
    FINISHED_PART
    + """
if redis.call('HGET', segments, 'file:' .. a.part) == a.key then  -- told before; the answer was lost
  return {free(), ''}
end
"""
    + HELD
    + """
insist()
redis.call('HSET', segments, 'file:' .. a.part, a.key, 'frames:' .. a.part, a.frames, 'bytes:' .. a.part, a.bytes)
local weights = weights_of(a.holder)
if weights then redis.call('HSET', segments, 'weights:' .. a.part, weights) end
redis.call('HINCRBY', segments, 'bytes', a.bytes)
redis.call('HINCRBY', segments, 'rendered', a.frames)
local before = free()
leave_part(a.part)
report_rendered()
local playable = tonumber(get('playable'))
local first = playable
while redis.call('HEXISTS', segments, 'file:' .. playable) == 1 do playable = playable + 1 end
if playable > first then
  redis.call('HSET', job, 'playable', playable)
  publish('segment', '{"done":' .. playable .. '}')
end
local mixed = join_if_done()
return {math.max(0, offer() - before), mixed}
"""
)


class Segments:
    """What the holders of a video's parts do with them, and what of it can be played.

    A worker that is not heard of for `live_s` seconds does not count among those whose weights are compared.
    """

    def __init__(self, scripts: Scripts, live_s: int) -> None:
        self._run = scripts.run
        self._redis = scripts.redis
        self._live_s = live_s

    def begin(self, claim: Claim, shared: Shared, *, frames: int | None, most_workers: int | None) -> int:
        """Cut the video whose plan is claimed into parts; returns how many segments an attempt before has opened.

        Of its `frames`, if that is known. No more than `most_workers` may work on it at once. Where the attempt before
        had other weights than the worker now, nothing counts as opened. Raises ClaimLostError.
        """
        shown = shared.model_dump_json()
        return int(run_held(self._run, BEGIN, claim, plan=shown, frames=frames, most_workers=most_workers))

    def open(self, claim: Claim, index: int, key: str) -> bool:
        """Let workers take the segment `index`, whose plan is the artifact `key`; whether a message is to be sent.

        Raises ClaimLostError.
        """
        return bool(run_held(self._run, OPEN_SEGMENT, claim, index=index, key=key, record_bytes=RECORD_BYTES))

    def planned(self, claim: Claim, *, frames: int, found: Found) -> Followed:
        """End the plan: all segments are open. Raises ClaimLostError."""
        shown = found.model_dump_json()
        return _followed(run_held(self._run, PLANNED, claim, frames=frames, found=shown, live_s=self._live_s))

    def done(self, claim: Claim, fragment: Fragment) -> Followed:
        """End a segment. Who ends the last one finds the join open, unless segments are rendered again: those by other
        weights than all workers have that live. Raises ClaimLostError."""
        key, size, frames = fragment.key, fragment.bytes, fragment.frames
        return _followed(run_held(self._run, DONE, claim, key=key, bytes=size, frames=frames, live_s=self._live_s))

    def mixed(self) -> dict[Mixed, int]:
        """How many videos had segments by several weights, by what became of these."""
        counts = cast("dict[str, str]", self._redis.hgetall(Key.MIXED))
        return {each: int(counts.get(each, 0)) for each in Mixed}

    def shared(self, job_id: str) -> Shared:
        """What the segments of a video share. Raises KeyError for a video that is not cut."""
        text = cast("str | None", self._redis.hget(Key.JOB + job_id, "plan"))
        if text is None:
            raise KeyError(job_id)
        return Shared.model_validate_json(text)

    def plan_key(self, job_id: str, index: int) -> str:
        """The artifact with the plan of a segment. Raises KeyError."""
        key = cast("str | None", self._redis.hget(segments_key(job_id), f"plan:{index}"))
        if key is None:
            raise KeyError(index)
        return key

    def found(self, job_id: str) -> Found:
        """What the plan found; to be asked once it has ended. Raises KeyError."""
        text = cast("str | None", self._redis.hget(Key.JOB + job_id, "found"))
        if text is None:
            raise KeyError(job_id)
        return Found.model_validate_json(text)

    def waiting(self, job_id: str) -> int:
        """How many parts of a video nobody works on."""
        return self._redis.zcard(Key.JOB + job_id + OPEN)

    def stream(self, job_id: str) -> Stream | None:
        """What can be played of a video; None before its first segment is there, and where there is none."""
        with self._redis.pipeline() as pipe:  # at one moment
            pipe.hmget(Key.JOB + job_id, "plan", "planned", "playable", "opened")
            pipe.hgetall(segments_key(job_id))
            about, fields = cast("tuple[list[str | None], Mapping[str, str]]", pipe.execute())
        plan, planned, playable, opened = about
        count = int(playable or 0)
        if plan is None or not count or f"file:{count - 1}" not in fields:
            return None
        shared = Shared.model_validate_json(plan)
        done = tuple(StreamSegment(int(fields[f"frames:{index}"]), fields[f"file:{index}"]) for index in range(count))
        complete = planned is not None and playable == opened
        return Stream(Fraction(shared.fps), shared.codecs, shared.init, done, complete)


def _followed(answer: tuple[int, str]) -> Followed:
    messages, mixed = answer
    return Followed(messages, Mixed(mixed) if mixed else None)
