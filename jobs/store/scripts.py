"""The job store's transitions are Lua, so that each is atomic in Redis: what they share, and how they are run.

Every script starts with the same prelude, which binds the keys of one job and the few steps transitions share. The
scripts themselves stand with the methods that run them.
Keys (under the prefix): `job:ID` hash, `job:ID:spec`, `job:ID:lock`, `job:ID:events` stream; sorted sets `queue:KIND`
by place, `owner:OWNER` by creation number, `running` by start, `expiring` and `tombstones` by the time they are due,
`tombstones:OWNER` by creation number, `deadlines` and `webhooks` by time (see jobs/store/webhooks.py), `workers` by
their last sign; hashes `waiting:KIND`, how many jobs of each owner wait; hash `worker:NAME`; `token:ID`, the job that a
message was used for; hashes `metrics` (see jobs/store/counters.py) and `pace`; hashes `kept:files` and `kept:records`,
the bytes that each owner keeps in the artifact store and here.
Time is Redis' own clock, so that machines need not agree on theirs.

Owners share a queue by start-time fair queuing (Goyal, Vin and Cheng, "Start-time fair queuing", SIGCOMM 1996) with
jobs of length 1: a job's place is the greater of the queue's virtual time (`virtual:KIND`, the place served last) and
the end of its owner's job before (`ends:KIND`). So one owner's thousand jobs do not stand before another's first.
"""

from collections.abc import Callable
from typing import Any

from redis import Redis

from jobs.settings import LIVE_S
from jobs.store.counters import BUCKETS

PRELUDE = (
    f"local BUCKETS = {{{', '.join(map(str, BUCKETS))}}}"
    + """
local prefix, id = ARGV[1], ARGV[2]
local job = prefix .. 'job:' .. id
local lock, events, spec = job .. ':lock', job .. ':events', job .. ':spec'

local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end
local function get(field) return redis.call('HGET', job, field) end
local function queue() return prefix .. 'queue:' .. get('kind') end
local function publish(event, data)
  redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'event', event, 'data', data)
end
local function publish_status(status) publish('status', '{"status":"' .. status .. '"}') end
local function count(name, amount) redis.call('HINCRBY', prefix .. 'metrics', name, amount) end
local function observe(name, seconds)
  local bucket = #BUCKETS + 1
  for i = #BUCKETS, 1, -1 do if seconds <= BUCKETS[i] then bucket = i end end
  count(name .. '|' .. bucket, 1)
  redis.call('HINCRBYFLOAT', prefix .. 'metrics', name .. '|sum', seconds)
end
local function kept(what, owner) return tonumber(redis.call('HGET', prefix .. 'kept:' .. what, owner) or 0) end
local function keep(what, owner, bytes)
  local left = redis.call('HINCRBY', prefix .. 'kept:' .. what, owner, bytes)
  if left <= 0 then redis.call('HDEL', prefix .. 'kept:' .. what, owner) end
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
local function virtual() return tonumber(redis.call('GET', prefix .. 'virtual:' .. get('kind')) or 0) end
local function order(number) return tonumber(number) % 1000000 / 1000000 end  -- among equal places: as they came
local function enqueue(place)
  redis.call('HSET', job, 'place', string.format('%.6f', place))
  redis.call('ZADD', queue(), string.format('%.6f', place), id)
  redis.call('HINCRBY', prefix .. 'waiting:' .. get('kind'), get('owner'), 1)
end
local function dequeue()
  if redis.call('ZREM', queue(), id) == 0 then return end
  local kind, owner = get('kind'), get('owner')
  if redis.call('HINCRBY', prefix .. 'waiting:' .. kind, owner, -1) <= 0 then
    redis.call('HDEL', prefix .. 'waiting:' .. kind, owner)
  end
  if redis.call('EXISTS', queue()) == 0 then  -- nobody waits: whoever comes next begins anew
    redis.call('DEL', prefix .. 'virtual:' .. kind, prefix .. 'ends:' .. kind)
  end
end
local function live() local status = get('status'); return status == 'queued' or status == 'running' end
local function summarize(status, at)
  local kind = get('kind')
  count('jobs|' .. kind .. '|' .. status, 1)
  if get('claimed_at') then
    local ran = tonumber(at) - tonumber(get('claimed_at'))
    observe('run|' .. kind, ran)
    if status == 'succeeded' then
      local pace = redis.call('HGET', prefix .. 'pace', kind)
      redis.call('HSET', prefix .. 'pace', kind, pace and 0.8 * pace + 0.2 * ran or ran)
    end
  end
  for stage in string.gmatch(get('stages') or '', '[^\\n]+') do
    observe('stage|' .. kind .. '|' .. stage, tonumber(get('timing:' .. stage)))
  end
  if status == 'failed' and get('error') then count('errors|' .. kind .. '|' .. cjson.decode(get('error')).type, 1) end
  if status == 'succeeded' then
    local result = cjson.decode(get('result'))
    local made = kind == 'video' and 'frames' or kind == 'image' and 'images' or nil
    if made then count('made|' .. made, type(result[made]) == 'number' and result[made] or 1) end
  end
end
-- A full Redis refuses what takes memory, unless the script has written before: so those that lead to less of it begin
-- with this.
local function insist() redis.call('ZREM', prefix .. 'deadlines', id) end
local function finish(status)
  insist()
  local at = now()
  summarize(status, at)
  if status == 'succeeded' then hold('files', cjson.decode(get('result')).bytes) end
  local retention = status == 'canceled' and get('canceled_retention') or get('retention')
  local expires = string.format('%.6f', tonumber(at) + tonumber(retention))
  redis.call('HSET', job, 'status', status, 'finished_at', at, 'expires_at', expires)
  dequeue()
  redis.call('ZREM', prefix .. 'running', id)
  redis.call('ZADD', prefix .. 'expiring', expires, id)
  redis.call('DEL', lock)
  if get('webhook') then redis.call('ZADD', prefix .. 'webhooks', at, id) end
  publish_status(status)
  redis.call('XTRIM', events, 'MAXLEN', 20)
end
local function late()  -- a job that has not begun by its deadline fails
  if get('started_at') or not get('deadline') or tonumber(now()) < tonumber(get('deadline')) then return false end
  redis.call('HSET', job, 'error', get('late'))
  finish('failed')
  return true
end
local function requeue()
  insist()
  redis.call('HSET', job, 'status', 'queued', 'queued_at', now())
  redis.call('HDEL', job, 'progress', 'claimed_at')
  redis.call('ZREM', prefix .. 'running', id)
  enqueue(math.min(tonumber(get('place') or 0), virtual() + order(get('number'))))
  redis.call('DEL', lock)
  publish_status('queued')
end
"""
)


class JobStoreError(Exception):
    """Root of what the job store raises."""


class Scripted:
    """What each part of the job store is: keys under a prefix, and scripts that change what they hold.

    A worker that is not heard of for `live_s` seconds is not counted.
    """

    def __init__(self, redis: Redis, *, prefix: str = "pirenderer:", live_s: int = LIVE_S) -> None:
        self._redis = redis
        self._prefix = prefix
        self._live_s = live_s
        self._scripts: dict[str, Callable[..., Any]] = {}

    def _run(self, script: str, job_id: str, *args: str | float) -> Any:
        if script not in self._scripts:
            self._scripts[script] = self._redis.register_script(f"local LIVE_S = {self._live_s}\n{PRELUDE}{script}")
        return self._scripts[script](keys=[], args=[self._prefix, job_id, *args])

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)
