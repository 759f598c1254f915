"""The job store's transitions are Lua, so that each is atomic in Redis: what they share, and how they are run.

Every script starts with the same prelude, which binds the keys of one job or live session (`id`), what the caller
passes by name (`a.lease_ms`) and the few steps transitions share. The scripts themselves stand with the methods that
run them. Keys and the fields of a job are listed in jobs/store/names.py.
Time is Redis' own clock, so that machines need not agree on theirs.

Owners share a queue by start-time fair queuing (Goyal, Vin and Cheng, "Start-time fair queuing", SIGCOMM 1996) with
turns of length 1: a job's place is the greater of the queue's virtual time (VIRTUAL, the place served last) and the
end of its owner's turn before (ENDS). So one owner's thousand jobs do not stand before another's first. Each part of a
video is a turn: a video that goes on stands before its owner's later jobs, and those move one turn back.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha1
from typing import Any, Generic, Self, TypeVar

from redis import Redis
from redis.exceptions import NoScriptError

from jobs.redis_clients import redis_client
from jobs.store import names
from jobs.store.counters import BUCKETS

PRELUDE = (
    names.LUA
    + f"local BUCKETS = {{{', '.join(map(str, BUCKETS))}}}"
    + """
local id, a = ARGV[1], cjson.decode(ARGV[2])
local job = JOB .. id
local lock, events, spec = job .. LOCK, job .. EVENTS, job .. SPEC
local segments, open, taken = job .. SEGMENTS, job .. OPEN, job .. TAKEN
local function lock_of(part) return part == '' and lock or lock .. ':' .. part end

local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end
local function get(field) return redis.call('HGET', job, field) end
local function queue() return QUEUE .. get('kind') end
local function going() return GOING .. get('kind') end
local function turns() return TURNS .. get('kind') .. ':' .. get('owner') end
local function publish(event, data)
  redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'event', event, 'data', data)
end
local function publish_status(status) publish('status', '{"status":"' .. status .. '"}') end
local function count(name, amount) redis.call('HINCRBY', METRICS, name, amount) end
local function observe(name, seconds)
  local bucket = #BUCKETS + 1
  for i = #BUCKETS, 1, -1 do if seconds <= BUCKETS[i] then bucket = i end end
  count(name .. '|' .. bucket, 1)
  redis.call('HINCRBYFLOAT', METRICS, name .. '|sum', seconds)
end
local function kept(what, owner) return tonumber(redis.call('HGET', KEPT .. what, owner) or 0) end
local function keep(what, owner, bytes)
  local left = redis.call('HINCRBY', KEPT .. what, owner, bytes)
  if left <= 0 then redis.call('HDEL', KEPT .. what, owner) end
end
local function hold(what, bytes)  -- count bytes as kept by the job's owner, until they are released with the job
  keep(what, get('owner'), bytes)
  redis.call('HINCRBY', job, 'kept:' .. what, bytes)
end
local function release()
  for _, what in ipairs({'files', 'records'}) do
    local bytes = get('kept:' .. what)
    if bytes then keep(what, get('owner'), -bytes) end
    redis.call('HDEL', job, 'kept:' .. what)
  end
end
local function virtual() return tonumber(redis.call('GET', VIRTUAL .. get('kind')) or 0) end
local function order(number) return tonumber(number) % 1000000 / 1000000 end  -- among equal places: as they came
local function enqueue(place)
  redis.call('HSET', job, 'place', string.format('%.6f', place))
  redis.call('ZADD', queue(), string.format('%.6f', place), id)
  redis.call('ZADD', turns(), get('number'), id)
  redis.call('HINCRBY', WAITING .. get('kind'), get('owner'), 1)
end
local function dequeue()
  redis.call('ZREM', going(), id)
  redis.call('ZREM', turns(), id)
  if redis.call('ZREM', queue(), id) == 1 then
    local kind, owner = get('kind'), get('owner')
    if redis.call('HINCRBY', WAITING .. kind, owner, -1) <= 0 then redis.call('HDEL', WAITING .. kind, owner) end
  end
  if redis.call('EXISTS', queue(), going()) == 0 then  -- nobody waits: whoever comes next begins anew
    redis.call('DEL', VIRTUAL .. get('kind'), ENDS .. get('kind'))
    redis.call('DEL', turns())  -- workers of the version before leave what they took in it
  end
end
local function take_turn()  -- the job's turn has come
  local kind, served = get('kind'), math.max(virtual(), tonumber(get('place') or 0))
  redis.call('SET', VIRTUAL .. kind, string.format('%.6f', served))
  redis.call('ZREMRANGEBYSCORE', ENDS .. kind, '-inf', math.floor(served))
  dequeue()
end

-- Of a video that is cut into parts
local function cut() return redis.call('HEXISTS', job, 'opened') == 1 end
local function free(but)  -- how many of its parts can be taken; whoever is `but` counts as none of its workers
  local waiting, most = redis.call('ZCARD', open), tonumber(get('most_workers') or math.huge)
  local seen, workers = {[but or ''] = true}, 0
  for _, each in ipairs(redis.call('SMEMBERS', taken)) do
    local holder = string.match(redis.call('GET', lock_of(each)) or '', '^([^|]*)|')
    if holder and not seen[holder] then seen[holder], workers = true, workers + 1 end
  end
  return math.max(0, math.min(waiting, most - workers))
end
local function go_on()  -- it takes the next turn of its owner, whose later jobs move one back
  local kind, owner = get('kind'), get('owner')
  local place
  redis.call('HSET', job, 'queued_at', now())
  redis.call('ZADD', turns(), get('number'), id)
  local alone = redis.call('ZCARD', turns()) == redis.call('ZCARD', queue()) + redis.call('ZCARD', going()) + 1
  for _, each in ipairs(redis.call('ZRANGEBYSCORE', turns(), '(' .. get('number'), '+inf')) do
    local line = redis.call('ZSCORE', queue(), each) and queue() or going()
    local at = redis.call('ZSCORE', line, each)
    if at then
      place = math.min(place or math.huge, math.floor(tonumber(at)))
      if alone then break end  -- whose places nobody else shares: the older job stands first at the same place
      redis.call('HSET', JOB .. each, 'place', string.format('%.6f', at + 1))
      redis.call('ZADD', line, string.format('%.6f', at + 1), each)
    else
      redis.call('ZREM', turns(), each)
    end
  end
  local last = tonumber(redis.call('ZSCORE', ENDS .. kind, owner) or 0)
  if not (place and alone) then  -- else time stands still, and what its owner sends next shall not pay for that
    place = place or math.max(math.floor(virtual()), last)
    redis.call('ZADD', ENDS .. kind, math.max(last, place) + 1, owner)
  end
  place = string.format('%.6f', place + order(get('number')))
  redis.call('HSET', job, 'place', place)
  redis.call('ZADD', going(), place, id)
end
local function offer()  -- let parts that wait be taken, as far as may be; returns how many can be
  local parts = free()
  if parts > 0 and not redis.call('ZSCORE', going(), id) then go_on() end
  return parts
end
local function score(part) return part == '' and -1 or part == JOIN and math.huge or tonumber(part) end
local function deliveries(part)
  return tonumber((part == '' and get('deliveries') or redis.call('HGET', segments, 'deliveries:' .. part)) or 0)
end
local function delivered(part, more)
  if part == '' then return redis.call('HINCRBY', job, 'deliveries', more) end
  return redis.call('HINCRBY', segments, 'deliveries:' .. part, more)
end
local function rest(part)  -- its holder works on it no more, or on something else for a while
  local since = redis.call('HGET', segments, 'worked_since:' .. part)
  if since then redis.call('HINCRBYFLOAT', job, 'worked', string.format('%.3f', now() - since)) end
  redis.call('HDEL', segments, 'worked_since:' .. part)
end
local function leave_part(part)
  redis.call('DEL', lock_of(part))
  redis.call('SREM', taken, part)
  redis.call('HDEL', segments, 'at:' .. part)
  rest(part)
end
local function reopen(part)  -- a part whose holder is gone, or gives it back
  leave_part(part)
  redis.call('ZADD', open, score(part), part)
  redis.call('HSET', job, 'queued_at', now())
  offer()
end
local function lose() redis.call('HINCRBY', LOST, get('kind'), 1) end  -- its worker, or that of a part of it
local function held()  -- whether anybody works on the job
  if redis.call('EXISTS', lock) == 1 then return true end
  for _, each in ipairs(redis.call('SMEMBERS', taken)) do
    if redis.call('EXISTS', lock_of(each)) == 1 then return true end
  end
  return false
end
local function report_rendered()
  local done = tonumber(redis.call('HGET', segments, 'rendered') or 0)
  for _, each in ipairs(redis.call('SMEMBERS', taken)) do
    done = done + tonumber(redis.call('HGET', segments, 'at:' .. each) or 0)
  end
  local progress = '{"stage":"render","done":' .. done .. ',"total":' .. (get('frames') or 'null') .. '}'
  redis.call('HSET', job, 'progress', progress)
  publish('progress', progress)
end

local function live() local status = get('status'); return status == QUEUED or status == RUNNING end
local function summarize(status, at)
  local kind = get('kind')
  count('jobs|' .. kind .. '|' .. status, 1)
  if get('claimed_at') then
    local ran = tonumber(at) - tonumber(get('claimed_at'))
    observe('run|' .. kind, ran)
    if status == SUCCEEDED then  -- a video's pace is what it takes of all its workers
      local pace, worked = redis.call('HGET', PACE, kind), tonumber(get('worked') or ran)
      redis.call('HSET', PACE, kind, pace and 0.8 * pace + 0.2 * worked or worked)
    end
  end
  for stage in string.gmatch(get('stages') or '', '[^\\n]+') do
    observe('stage|' .. kind .. '|' .. stage, tonumber(get(TIMING_PREFIX .. stage)))
  end
  if status == FAILED and get('error') then count('errors|' .. kind .. '|' .. cjson.decode(get('error')).type, 1) end
end
-- A full Redis refuses what takes memory, unless the script has written before: so those that lead to less of it begin
-- with this.
local function insist() redis.call('ZREM', DEADLINES, id) end
local function drop_parts(all)  -- with `all` the fragments that are done as well
  for _, each in ipairs(redis.call('SMEMBERS', taken)) do redis.call('DEL', lock_of(each)) end
  redis.call('DEL', lock, open, taken)
  redis.call('ZREM', CUT_JOBS, id)
  if all then redis.call('DEL', segments) return end
  for _, field in ipairs(redis.call('HKEYS', segments)) do
    local what = string.match(field, '^[^:]*')
    if what ~= 'file' and what ~= 'frames' then redis.call('HDEL', segments, field) end
  end
end
local function finish(status)
  insist()
  local at = now()
  summarize(status, at)
  if status == SUCCEEDED then
    hold('files', cjson.decode(get('result')).bytes + tonumber(redis.call('HGET', segments, 'bytes') or 0))
  end
  local retention = status == CANCELED and get('canceled_retention') or get('retention')
  local expires = string.format('%.6f', tonumber(at) + tonumber(retention))
  redis.call('HSET', job, 'status', status, 'finished_at', at, 'expires_at', expires)
  dequeue()
  redis.call('ZREM', RUNNING_JOBS, id)
  redis.call('ZADD', EXPIRING, expires, id)
  if cut() then redis.call('ZADD', UNTIDY, at, id) end
  drop_parts(status ~= SUCCEEDED)
  if get('webhook') then redis.call('ZADD', WEBHOOKS, at, id) end
  publish_status(status)
  redis.call('XTRIM', events, 'MAXLEN', 20)
end
local function late()  -- a job that has not begun by its deadline fails
  if get('started_at') or not get('deadline') or tonumber(now()) < tonumber(get('deadline')) then return false end
  redis.call('HSET', job, 'error', get('late'))
  finish(FAILED)
  return true
end
local function requeue()
  insist()
  redis.call('HSET', job, 'status', QUEUED, 'queued_at', now())
  redis.call('HDEL', job, 'progress', 'claimed_at')
  redis.call('ZREM', RUNNING_JOBS, id)
  enqueue(math.min(tonumber(get('place') or 0), virtual() + order(get('number'))))
  redis.call('DEL', lock)
  publish_status(QUEUED)
end

-- Of live sessions
local session = LIVE_SESSION .. id
local function lives(each)
  local at, till = tonumber(now()), tonumber(redis.call('ZSCORE', LIVE, each) or 0)
  if till > at + a.lease_s then redis.call('ZADD', LIVE, at + a.lease_s, each) end  -- the clock was set back
  return till > at
end
local function silent_s()
  local heard, at = redis.call('HGET', session, 'heard_at'), now()
  if heard and tonumber(heard) > tonumber(at) then  -- the clock was set back
    redis.call('HSET', session, 'heard_at', at)
    heard = at
  end
  return heard and at - heard
end
local function mine() return redis.call('HGET', session, 'takes') == tostring(a.take) end
local function live_count(what, many) redis.call('HINCRBY', LIVE_COUNTS, what, many) end
"""
)

ENCODER = json.JSONEncoder(ensure_ascii=False)

Argument = str | float | Sequence[str] | Sequence[Mapping[str, str | float]] | Mapping[str, str | float] | None
Answer = TypeVar("Answer")


class JobStoreError(Exception):
    """Root of what the job store raises."""


@dataclass(frozen=True)
class Script:
    """A transition: what follows the prelude."""

    body: str

    @property
    def text(self) -> str:
        """All of it, as Redis runs it."""
        return PRELUDE + self.body

    @cached_property
    def digest(self) -> str:
        """What Redis knows it by."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A script with what it is run on, and how what it returns is read.

    Lua has the arguments in `a`, and nil for None. Its numbers are doubles and are written with 17 digits: a fraction
    to be stored as it is must be a text.
    """

    script: Script
    read: Callable[[Any], Answer]
    job_id: str = ""
    arguments: Mapping[str, Argument] = field(default_factory=dict)

    @property
    def texts(self) -> tuple[str, str]:
        """What Redis gives to the script."""
        given = {name: value for name, value in self.arguments.items() if value is not None}
        return self.job_id, ENCODER.encode(given)


class Scripts:
    """Runs scripts on a Redis. Every part of the job store is made of one."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    @classmethod
    def connect(cls, url: str) -> Self:
        """On the Redis at `url`; connects on first use."""
        return cls(redis_client(url, decode_responses=True))

    def run(self, script: Script, job_id: str = "", **arguments: Argument) -> Any:
        """Run a script on a job, if it is of one; what it returns."""
        return self.do(Call(script, as_it_is, job_id, arguments))

    def do(self, call: Call[Answer]) -> Answer:
        """Run a script; what is read of what it returns."""
        try:
            found = self.redis.evalsha(call.script.digest, 0, *call.texts)
        except NoScriptError:  # a Redis that was begun anew
            found = self.redis.eval(call.script.text, 0, *call.texts)
        return call.read(found)

    def now(self) -> float:
        """The time by Redis' clock, in seconds since 1970."""
        seconds, microseconds = self.redis.time()
        return float(seconds + microseconds / 1e6)


def as_it_is(found: Any) -> Any:
    """What a script returns, where there is nothing to be read of it."""
    return found
