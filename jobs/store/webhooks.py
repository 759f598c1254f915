"""Webhooks that are due: lent to one front-end at a time until they are taken or given up.

`webhooks` holds jobs by the time when their webhook is to be looked at. Those whose time has come wait in a list of
their owner's, `webhooks:due:OWNER`, and owners take turns (`webhooks:owners`, by when each was served last), so that
one with thousands does not stand before another's first.
"""

from collections.abc import Mapping
from typing import cast

from jobs.store.scripts import Scripted

# how many at most, seconds they are lent for, an owner's most at once, then owners and how many of theirs are under way
# -> jobs and their owners, in turn; nobody else gets them for so long
DUE_WEBHOOKS = """
local webhooks, owners, time = prefix .. 'webhooks', prefix .. 'webhooks:owners', tonumber(now())
local function due(owner) return prefix .. 'webhooks:due:' .. owner end
local function owner_of(each) return redis.call('HGET', prefix .. 'job:' .. each, 'owner') end

for _, each in ipairs(redis.call('ZRANGEBYSCORE', webhooks, '-inf', time, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', webhooks, each)
  local owner = owner_of(each)
  if owner then
    redis.call('RPUSH', due(owner), each)
    redis.call('ZADD', owners, 'NX', 0, owner)
  end
end

local under_way, found, room, looks = {}, {}, tonumber(ARGV[3]), 1000
for i = 6, #ARGV, 2 do under_way[ARGV[i]] = tonumber(ARGV[i + 1]) end
local function serve(owner)
  if (under_way[owner] or 0) >= tonumber(ARGV[5]) then return false end
  local each = redis.call('LPOP', due(owner))
  if not each then redis.call('ZREM', owners, owner) return false end
  looks = looks - 1
  redis.call('ZADD', owners, string.format('%.6f', time), owner)
  if owner_of(each) and redis.call('HEXISTS', prefix .. 'job:' .. each, 'webhook_status') == 0 then
    redis.call('ZADD', webhooks, string.format('%.6f', time + tonumber(ARGV[4])), each)
    under_way[owner] = (under_way[owner] or 0) + 1
    found[#found + 1] = {each, owner}
  end
  return true
end
local turns, served = redis.call('ZRANGE', owners, 0, -1), true
while served and #found < room do
  served = false
  for _, owner in ipairs(turns) do
    if #found < room and looks > 0 and serve(owner) then served = true end
  end
end
return found
"""

# seconds until it is looked at again, whether it was tried
RETRY_WEBHOOK = """
if redis.call('EXISTS', job) == 0 then redis.call('ZREM', prefix .. 'webhooks', id) return 0 end
if ARGV[4] == '1' then redis.call('HINCRBY', job, 'webhook_attempts', 1) end
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


class Notices(Scripted):
    """Whom to tell of the ends of jobs."""

    def due_webhooks(
        self, count: int, *, lease_s: float, owner_most: int, under_way: Mapping[str, int]
    ) -> list[tuple[str, str]]:
        """Jobs whose webhooks are to be sent now, each with its owner; they are the caller's for `lease_s` seconds.

        At most `count`, and of each owner so many that with those that the caller has `under_way` they are at most
        `owner_most`.
        """
        flat = [each for owner, number in under_way.items() for each in (owner, number)]
        found = self._run(DUE_WEBHOOKS, "", count, lease_s, owner_most, *flat)
        return [(job_id, owner) for job_id, owner in cast("list[list[str]]", found)]

    def retry_webhook(self, job_id: str, *, after_s: float, tried: bool = True) -> None:
        """Look at it again after `after_s` seconds; `tried`: and count an attempt that failed."""
        self._run(RETRY_WEBHOOK, job_id, after_s, int(tried))

    def end_webhook(self, job_id: str, outcome: str) -> None:
        """Send no more: `outcome` is a status of jobs.schemas.WebhookState."""
        self._run(END_WEBHOOK, job_id, outcome)
