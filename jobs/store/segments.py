"""A video that is cut into parts: its plan, its segments and the join, from the first that is planned to the last.

The plan's holder opens segments one after the other, workers claim them like jobs (`jobs.store.claims`), and who ends
the last one finds the join open.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

from jobs.store.claims import HELD, run_held
from jobs.store.names import OPEN, Key, segments_key
from jobs.store.records import Claim, Found, Fragment, Shared, Stream, StreamSegment
from jobs.store.scripts import Script, Scripts

RECORD_BYTES = 384  # what Redis holds of a segment, about

# plan (what segments share), frames (if known), most_workers (if bounded) -> how many segments were opened before
BEGIN = Script(
    HELD
    + """
if cut() then return tonumber(get('opened')) end
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
redis.call('HSET', segments, 'plan:' .. a.index, a.key)
redis.call('ZADD', open, a.index, a.index)
hold('records', a.record_bytes)
return offer() < redis.call('ZCARD', open) and 0 or 1
"""
)

FINISHED_PART = """
local function join_if_done()  -- once everything is planned and rendered
  if get('planned') and get('playable') == get('opened') then redis.call('ZADD', open, score(JOIN), JOIN) end
end
"""

# frames, found: nothing is planned any more -> for how many parts more than before a message is to be sent
PLANNED = Script(
    FINISHED_PART
    + HELD
    + """
insist()
redis.call('HSET', job, 'planned', 1, 'frames', a.frames, 'found', a.found)
local before = free()
leave_part(a.part)
report_rendered()
join_if_done()
return math.max(0, offer() - before)
"""
)

# key, bytes, frames: a fragment is there -> for how many parts more than before a message is to be sent
DONE = Script(
    FINISHED_PART
    + """
if redis.call('HGET', segments, 'file:' .. a.part) == a.key then return free() end  -- told before; the answer was lost
"""
    + HELD
    + """
insist()
redis.call('HSET', segments, 'file:' .. a.part, a.key, 'frames:' .. a.part, a.frames)
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
join_if_done()
return math.max(0, offer() - before)
"""
)


class Segments:
    """What the holders of a video's parts do with them, and what of it can be played."""

    def __init__(self, scripts: Scripts) -> None:
        self._run = scripts.run
        self._redis = scripts.redis

    def begin(self, claim: Claim, shared: Shared, *, frames: int | None, most_workers: int | None) -> int:
        """Cut the video whose plan is claimed into parts; returns how many segments an attempt before has opened.

        Of its `frames`, if that is known. No more than `most_workers` may work on it at once. Raises ClaimLostError.
        """
        shown = shared.model_dump_json()
        return int(run_held(self._run, BEGIN, claim, plan=shown, frames=frames, most_workers=most_workers))

    def open(self, claim: Claim, index: int, key: str) -> bool:
        """Let workers take the segment `index`, whose plan is the artifact `key`; whether a message is to be sent.

        Raises ClaimLostError.
        """
        return bool(run_held(self._run, OPEN_SEGMENT, claim, index=index, key=key, record_bytes=RECORD_BYTES))

    def planned(self, claim: Claim, *, frames: int, found: Found) -> int:
        """End the plan: all segments are open. Returns how many messages are to be sent. Raises ClaimLostError."""
        return int(run_held(self._run, PLANNED, claim, frames=frames, found=found.model_dump_json()))

    def done(self, claim: Claim, fragment: Fragment) -> int:
        """End a segment. Returns how many messages are to be sent for what waits. Raises ClaimLostError."""
        key, size, frames = fragment.key, fragment.bytes, fragment.frames
        return int(run_held(self._run, DONE, claim, key=key, bytes=size, frames=frames))

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
