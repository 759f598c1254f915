"""The job store's transitions as Lua, so that each is atomic in Redis.

Every script starts with the same prelude, which binds the keys of one job and the few steps transitions share.
Keys (under the prefix): `job:ID` hash, `job:ID:spec`, `job:ID:lock`, `job:ID:events` stream; sorted sets `queue:KIND`
by place, `owner:OWNER` by creation number, `running` by start, `expiring` and `tombstones` by the time they are due,
`workers` by their last sign; hash `worker:NAME`; `token:ID`, the job that a message was used for; hashes `metrics` (see
service/jobs/figures.py) and `pace`.
Time is Redis' own clock, so that machines need not agree on theirs.

Owners share a queue by start-time fair queuing (Goyal, Vin and Cheng, "Start-time fair queuing", SIGCOMM 1996) with
jobs of length 1: a job's place is the greater of the queue's virtual time (`virtual:KIND`, the place served last) and
the end of its owner's job before (`ends:KIND`). So one owner's thousand jobs do not stand before another's first.
"""

from service.jobs.figures import BUCKETS
from service.jobs.schemas import JobKind

LIVE_SECONDS = 20  # a worker that has not been heard of for as long is not counted

PRELUDE = (
    f"local BUCKETS = {{{', '.join(map(str, BUCKETS))}}}\n"
    f"local KINDS = {{{', '.join(repr(kind.value) for kind in JobKind)}}}\n"
    f"local LIVE_SECONDS = {LIVE_SECONDS}"
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
local function finish(status)
  local at = now()
  summarize(status, at)
  local expires = string.format('%.6f', tonumber(at) + tonumber(get('retention')))
  redis.call('HSET', job, 'status', status, 'finished_at', at, 'expires_at', expires)
  dequeue()
  redis.call('ZREM', prefix .. 'running', id)
  redis.call('ZADD', prefix .. 'expiring', expires, id)
  redis.call('DEL', lock)
  if get('webhook') then redis.call('ZADD', prefix .. 'webhooks', at, id) end
  publish_status(status)
end
local function late()  -- a job that has not begun by its deadline fails
  if get('started_at') or not get('deadline') or tonumber(now()) < tonumber(get('deadline')) then return false end
  redis.call('HSET', job, 'error', get('late'))
  finish('failed')
  return true
end
local function requeue()
  redis.call('HSET', job, 'status', 'queued', 'queued_at', now())
  redis.call('HDEL', job, 'progress', 'claimed_at')
  redis.call('ZREM', prefix .. 'running', id)
  enqueue(math.min(tonumber(get('place') or 0), virtual() + order(get('number'))))
  redis.call('DEL', lock)
  publish_status('queued')
end
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
    local live = redis.call('ZCOUNT', prefix .. 'workers', tonumber(now()) - LIVE_SECONDS, '+inf')
    outlook = {redis.call('HGETALL', prefix .. 'pace'), redis.call('ZCARD', prefix .. 'running'), waiting, live}
  end
  return {jobs, outlook}
end
"""
)

# ids of jobs, '' in place of the one -> as `read` says
READ = "return read({unpack(ARGV, 3)})"

# kind, owner, specification, retention in seconds, queue bound, an owner's bound, then further fields and their
# values -> 'full', 'share' or the job, as `read` says
CREATE = """
local kind, owner = ARGV[3], ARGV[4]
if redis.call('ZCARD', prefix .. 'queue:' .. kind) >= tonumber(ARGV[7]) then return 'full' end
if tonumber(redis.call('HGET', prefix .. 'waiting:' .. kind, owner) or 0) >= tonumber(ARGV[8]) then return 'share' end
local number = redis.call('INCR', prefix .. 'number')
redis.call('HSET', job, 'id', id, 'kind', kind, 'owner', owner, 'status', 'queued', 'number', number,
           'created_at', now(), 'queued_at', now(), 'retention', ARGV[6], 'deliveries', 0)
for i = 9, #ARGV, 2 do redis.call('HSET', job, ARGV[i], ARGV[i + 1]) end
if get('deadline_s') then
  local deadline = string.format('%.6f', tonumber(now()) + tonumber(get('deadline_s')))
  redis.call('HSET', job, 'deadline', deadline)
  redis.call('ZADD', prefix .. 'deadlines', deadline, id)
end
redis.call('SET', spec, ARGV[5])
local start = math.max(math.floor(virtual()), tonumber(redis.call('ZSCORE', prefix .. 'ends:' .. kind, owner) or 0))
redis.call('ZADD', prefix .. 'ends:' .. kind, start + 1, owner)
enqueue(start + order(number))
redis.call('ZADD', prefix .. 'owner:' .. owner, number, id)
publish_status('queued')
return read({id})
"""

# lock value, lease in ms, most deliveries, problem when there are more, token or '', its life in seconds
# -> outcome, attempt, specification, id of the request that made the job
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
return {'claimed', attempt, redis.call('GET', spec), get('request_id') or ''}
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

CANCEL = """
if redis.call('EXISTS', job) == 0 then return 'unknown' end
if not live() then return get('status') end
redis.call('HSET', job, 'cancel', 1)
if redis.call('EXISTS', lock) == 0 then finish('canceled') end
return 'ok'
"""

# longest lease in ms -> 1 when the job was running without a holder and is queued again
RECOVER = """
if redis.call('PTTL', lock) > tonumber(ARGV[3]) then  -- the clock was set back; a dead holder's lease must not grow
  redis.call('PEXPIRE', lock, ARGV[3])
end
if redis.call('EXISTS', job) == 0 then redis.call('ZREM', prefix .. 'running', id) return 0 end
if get('status') ~= 'running' or redis.call('EXISTS', lock) == 1 then return 0 end
if get('cancel') then finish('canceled') return 0 end
requeue()
return 1
"""

# age in seconds -> 1 when the job has waited as long since its message was sent last; its next one is due now
RESEND = """
if get('status') ~= 'queued' then return 0 end
local age = tonumber(now()) - tonumber(get('queued_at'))
if 0 <= age and age < tonumber(ARGV[3]) then return 0 end  -- below 0 the clock was set back
redis.call('HSET', job, 'queued_at', now())
return 1
"""

# -> 1 when the job was waiting beyond its deadline
LATE = """
redis.call('ZREM', prefix .. 'deadlines', id)
if redis.call('EXISTS', job) == 0 or not live() then return 0 end
return late() and 1 or 0
"""

# tombstone's life in seconds: what is left until it is deleted says that there was such a job
EXPIRE = """
redis.call('ZREM', prefix .. 'expiring', id)
if redis.call('EXISTS', job) == 0 or live() then return 0 end
redis.call('HSET', job, 'status', 'expired')
publish_status('expired')
redis.call('DEL', spec)
redis.call('ZADD', prefix .. 'tombstones', string.format('%.6f', tonumber(now()) + tonumber(ARGV[3])), id)
return 1
"""

DELETE = """
redis.call('ZREM', prefix .. 'tombstones', id)
if redis.call('EXISTS', job) == 0 then return 0 end
dequeue()
redis.call('ZREM', prefix .. 'owner:' .. get('owner'), id)
redis.call('ZREM', prefix .. 'running', id)
redis.call('ZREM', prefix .. 'expiring', id)
redis.call('ZREM', prefix .. 'webhooks', id)
redis.call('ZREM', prefix .. 'deadlines', id)
redis.call('DEL', job, spec, lock, events)
return 1
"""

# how many at most, seconds they are lent for -> jobs whose webhooks are due; nobody else gets them for so long
DUE_WEBHOOKS = """
local due = redis.call('ZRANGEBYSCORE', prefix .. 'webhooks', '-inf', now(), 'LIMIT', 0, ARGV[3])
for _, each in ipairs(due) do
  redis.call('ZADD', prefix .. 'webhooks', string.format('%.6f', tonumber(now()) + tonumber(ARGV[4])), each)
end
return due
"""

# seconds until the next attempt
RETRY_WEBHOOK = """
if redis.call('EXISTS', job) == 0 then redis.call('ZREM', prefix .. 'webhooks', id) return 0 end
redis.call('HINCRBY', job, 'webhook_attempts', 1)
redis.call('ZADD', prefix .. 'webhooks', string.format('%.6f', tonumber(now()) + tonumber(ARGV[3])), id)
return 1
"""

# outcome
END_WEBHOOK = """
redis.call('ZREM', prefix .. 'webhooks', id)
count('webhooks|' .. ARGV[3], 1)
if redis.call('EXISTS', job) == 0 then return 0 end
if ARGV[3] ~= 'skipped' then redis.call('HINCRBY', job, 'webhook_attempts', 1) end
redis.call('HSET', job, 'webhook_status', ARGV[3])
return 1
"""

# A worker's process that lives: holder in place of the id, then fields and values; kept for ARGV[3] seconds
BEAT = """
local worker = prefix .. 'worker:' .. id
redis.call('DEL', worker)
for i = 4, #ARGV, 2 do redis.call('HSET', worker, ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', worker, ARGV[3])
local at = now()
redis.call('ZADD', prefix .. 'workers', at, id)
redis.call('ZREMRANGEBYSCORE', prefix .. 'workers', '-inf', tonumber(at) - tonumber(ARGV[3]))
redis.call('ZREMRANGEBYSCORE', prefix .. 'workers', '(' .. at, '+inf')  -- from before the clock was set back
return 1
"""
