"""The job store's transitions as Lua, so that each is atomic in Redis.

Every script starts with the same prelude, which binds the keys of one job and the few steps transitions share.
Keys (under the prefix): `job:ID` hash, `job:ID:spec`, `job:ID:lock`, `job:ID:events` stream; `queue:KIND`,
`owner:OWNER` sorted sets by creation number; `running` by start, `expiring` by time of expiry.
Time is Redis' own clock, so that machines need not agree on theirs.
"""

PRELUDE = """
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
local function live() local status = get('status'); return status == 'queued' or status == 'running' end
local function finish(status)
  local at = now()
  local expires = string.format('%.6f', tonumber(at) + tonumber(get('retention')))
  redis.call('HSET', job, 'status', status, 'finished_at', at, 'expires_at', expires)
  redis.call('ZREM', queue(), id)
  redis.call('ZREM', prefix .. 'running', id)
  redis.call('ZADD', prefix .. 'expiring', expires, id)
  redis.call('DEL', lock)
  publish_status(status)
end
local function requeue()
  redis.call('HSET', job, 'status', 'queued', 'queued_at', now())
  redis.call('HDEL', job, 'progress')
  redis.call('ZREM', prefix .. 'running', id)
  redis.call('ZADD', queue(), get('number'), id)
  redis.call('DEL', lock)
  publish_status('queued')
end
"""

# kind, owner, specification, retention in seconds, queue bound -> 1, or 0 when the queue is full
CREATE = """
local kind, owner = ARGV[3], ARGV[4]
if redis.call('ZCARD', prefix .. 'queue:' .. kind) >= tonumber(ARGV[7]) then return 0 end
local number = redis.call('INCR', prefix .. 'number')
redis.call('HSET', job, 'id', id, 'kind', kind, 'owner', owner, 'status', 'queued', 'number', number,
           'created_at', now(), 'queued_at', now(), 'retention', ARGV[6], 'deliveries', 0)
redis.call('SET', spec, ARGV[5])
redis.call('ZADD', queue(), number, id)
redis.call('ZADD', prefix .. 'owner:' .. owner, number, id)
publish_status('queued')
return 1
"""

# lock value, lease in ms, most deliveries, problem when there are more -> outcome, attempt, specification
CLAIM = """
if redis.call('EXISTS', job) == 0 then return {'unknown'} end
if not live() then return {'finished'} end
if redis.call('EXISTS', lock) == 1 then return {'busy'} end
if get('cancel') then finish('canceled'); return {'finished'} end
if tonumber(get('deliveries')) >= tonumber(ARGV[5]) then
  redis.call('HSET', job, 'error', ARGV[6])
  finish('failed')
  return {'exhausted'}
end
redis.call('SET', lock, ARGV[3], 'PX', ARGV[4])
local attempt = redis.call('HINCRBY', job, 'deliveries', 1)
local at = now()
redis.call('HSET', job, 'status', 'running')
redis.call('HSETNX', job, 'started_at', at)
redis.call('HDEL', job, 'progress', 'stages')
for _, field in ipairs(redis.call('HKEYS', job)) do
  if string.sub(field, 1, 7) == 'timing:' then redis.call('HDEL', job, field) end
end
redis.call('ZREM', queue(), id)
redis.call('ZADD', prefix .. 'running', at, id)
publish_status('running')
return {'claimed', attempt, redis.call('GET', spec)}
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

# -> 1 when the job was running without a holder and is queued again
RECOVER = """
if redis.call('EXISTS', job) == 0 then redis.call('ZREM', prefix .. 'running', id) return 0 end
if get('status') ~= 'running' or redis.call('EXISTS', lock) == 1 then return 0 end
if get('cancel') then finish('canceled') return 0 end
requeue()
return 1
"""

# age in seconds -> 1 when the job has waited as long since its message was sent last; its next one is due now
RESEND = """
local sent = get('queued_at')
if get('status') ~= 'queued' or tonumber(now()) - tonumber(sent) < tonumber(ARGV[3]) then return 0 end
redis.call('HSET', job, 'queued_at', now())
return 1
"""

# tombstone's life in seconds: what is left says that there was such a job
EXPIRE = """
redis.call('ZREM', prefix .. 'expiring', id)
if redis.call('EXISTS', job) == 0 or live() then return 0 end
redis.call('HSET', job, 'status', 'expired')
publish_status('expired')
redis.call('DEL', spec)
redis.call('EXPIRE', job, ARGV[3])
redis.call('EXPIRE', events, ARGV[3])
return 1
"""

DELETE = """
if redis.call('EXISTS', job) == 0 then return 0 end
redis.call('ZREM', queue(), id)
redis.call('ZREM', prefix .. 'owner:' .. get('owner'), id)
redis.call('ZREM', prefix .. 'running', id)
redis.call('ZREM', prefix .. 'expiring', id)
redis.call('DEL', job, spec, lock, events)
return 1
"""
