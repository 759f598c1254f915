"""Webhooks that are due: lent to one front-end at a time until they are taken or given up.

WEBHOOKS holds jobs by the time when their webhook is to be looked at. Those whose time has come wait in a list of
their owner's (WEBHOOKS_DUE), and owners take turns (WEBHOOKS_OWNERS, by when each was served last), so that one with
thousands does not stand before another's first.
"""

from collections.abc import Mapping
from typing import cast

from jobs.store.scripts import Script, Scripts

# count (at most), lease_s (for so long they are lent), owner_most (at once), under_way (how many, by owner)
# -> jobs and their owners, in turn; nobody else gets them for so long
DUE = Script("""
local time = tonumber(now())
local function owner_of(each) return redis.call('HGET', JOB .. each, 'owner') end

for _, each in ipairs(redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', time, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', WEBHOOKS, each)
  local owner = owner_of(each)
  if owner then
    redis.call('RPUSH', WEBHOOKS_DUE .. owner, each)
    redis.call('ZADD', WEBHOOKS_OWNERS, 'NX', 0, owner)
  end
end

local under_way, found, looks = a.under_way, {}, 1000
local function serve(owner)
  if (under_way[owner] or 0) >= a.owner_most then return false end
  local each = redis.call('LPOP', WEBHOOKS_DUE .. owner)
  if not each then redis.call('ZREM', WEBHOOKS_OWNERS, owner) return false end
  looks = looks - 1
  redis.call('ZADD', WEBHOOKS_OWNERS, string.format('%.6f', time), owner)
  if owner_of(each) and redis.call('HEXISTS', JOB .. each, 'webhook_status') == 0 then
    redis.call('ZADD', WEBHOOKS, string.format('%.6f', time + a.lease_s), each)
    under_way[owner] = (under_way[owner] or 0) + 1
    found[#found + 1] = {each, owner}
  end
  return true
end
local owners, served = redis.call('ZRANGE', WEBHOOKS_OWNERS, 0, -1), true
while served and #found < a.count do
  served = false
  for _, owner in ipairs(owners) do
    if #found < a.count and looks > 0 and serve(owner) then served = true end
  end
end
return found
""")

# after_s (until it is looked at again), tried
RETRY = Script("""
if redis.call('EXISTS', job) == 0 then redis.call('ZREM', WEBHOOKS, id) return 0 end
if a.tried then redis.call('HINCRBY', job, 'webhook_attempts', 1) end
redis.call('ZADD', WEBHOOKS, string.format('%.6f', tonumber(now()) + a.after_s), id)
return 1
""")

# outcome
END = Script("""
redis.call('ZREM', WEBHOOKS, id)
count('webhooks|' .. a.outcome, 1)
if redis.call('EXISTS', job) == 0 then return 0 end
if a.outcome ~= 'skipped' then redis.call('HINCRBY', job, 'webhook_attempts', 1) end
redis.call('HSET', job, 'webhook_status', a.outcome)
return 1
""")


class Webhooks:
    """Whom to tell of the ends of jobs."""

    def __init__(self, scripts: Scripts) -> None:
        self._run = scripts.run

    def due(
        self, count: int, *, lease_s: float, owner_most: int, under_way: Mapping[str, int]
    ) -> list[tuple[str, str]]:
        """Jobs whose webhooks are to be sent now, each with its owner; they are the caller's for `lease_s` seconds.

        At most `count`, and of each owner so many that with those that the caller has `under_way` they are at most
        `owner_most`.
        """
        found = self._run(DUE, count=count, lease_s=lease_s, owner_most=owner_most, under_way=under_way)
        return [(job_id, owner) for job_id, owner in cast("list[list[str]]", found)]

    def retry(self, job_id: str, *, after_s: float, tried: bool = True) -> None:
        """Look at it again after `after_s` seconds; `tried`: and count an attempt that failed."""
        self._run(RETRY, job_id, after_s=after_s, tried=tried)

    def end(self, job_id: str, outcome: str) -> None:
        """Send no more: `outcome` is a status of jobs.schemas.WebhookState."""
        self._run(END, job_id, outcome=outcome)
