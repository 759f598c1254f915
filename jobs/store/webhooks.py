"""Webhooks' messages that are due: lent to one front-end at a time until they are taken or given up.

A job has one message of its end and, if that is asked for, one of its start: each has a time, attempts and an outcome
of its own. WEBHOOKS holds them by the time when they are to be looked at. Those whose time has come wait in a list of
their owner's (WEBHOOKS_DUE), and owners take turns (WEBHOOKS_OWNERS, by when each was served last), so that one with
thousands does not stand before another's first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

from jobs.store.names import STARTED, Key
from jobs.store.scripts import Argument, Script, Scripts
from jobs.webhooks import WebhookAttempt, WebhookDelivery

JOB_ATTEMPTS = 20  # that are kept of a job
OWNER_ATTEMPTS = 100  # that are kept of an owner, for as long as a job is

# count (at most), lease_s (for so long they are lent), owner_most (at once), under_way (how many, by owner)
# -> messages, their owners and how often each was tried, in turn; nobody else gets them for so long
DUE = Script("""
local time = tonumber(now())
local function about(each)  -- the key of a message's job, and what its fields end with
  local job_id, suffix = string.match(each, '^([^:]*)(.*)$')
  return JOB .. job_id, suffix
end
local function owner_of(each) return redis.call('HGET', about(each), 'owner') end

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
  local told, suffix = about(each)
  if owner_of(each) and redis.call('HEXISTS', told, 'webhook_status' .. suffix) == 0 then
    redis.call('ZADD', WEBHOOKS, string.format('%.6f', time + a.lease_s), each)
    under_way[owner] = (under_way[owner] or 0) + 1
    found[#found + 1] = {each, owner, redis.call('HGET', told, 'webhook_attempts' .. suffix) or 0}
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

# suffix (the message's), outcome, after_s (of one that is pending: until it is looked at again), attempt (if there
# was one) and delivery (the same with job and address), most and owner_most (that are kept of them)
NOTE = Script("""
local message = id .. a.suffix
redis.call('ZREM', WEBHOOKS, message)
if a.outcome ~= 'pending' then count('webhooks|' .. a.outcome, 1) end
if redis.call('EXISTS', job) == 0 then return 0 end
if a.outcome == 'pending' then
  redis.call('ZADD', WEBHOOKS, string.format('%.6f', tonumber(now()) + a.after_s), message)
else
  redis.call('HSET', job, 'webhook_status' .. a.suffix, a.outcome)
end
if not a.attempt then return 1 end
redis.call('HINCRBY', job, 'webhook_attempts' .. a.suffix, 1)
local lines = {}
for line in string.gmatch((get('webhook_log') or '') .. a.attempt, '[^\\n]+') do lines[#lines + 1] = line end
redis.call('HSET', job, 'webhook_log', table.concat(lines, '\\n', math.max(1, #lines - a.most + 1)) .. '\\n')
local listed = DELIVERIES .. get('owner')
redis.call('ZADD', listed, now(), a.delivery)
redis.call('ZREMRANGEBYRANK', listed, 0, -a.owner_most - 1)
redis.call('EXPIRE', listed, math.max(1, math.ceil(tonumber(get('retention')))))
return 1
""")


@dataclass(frozen=True)
class Message:
    """A message of a job's webhook: of its end, or of its start. It was sent `attempts` times in vain."""

    job_id: str
    owner: str
    start: bool = False
    attempts: int = 0

    @classmethod
    def named(cls, name: str, owner: str, attempts: str) -> Self:
        """A message by its name in Redis."""
        return cls(name.removesuffix(STARTED), owner, name.endswith(STARTED), int(attempts))

    @property
    def suffix(self) -> str:
        """What its name in Redis has after the job's id, and its fields after their names."""
        return STARTED if self.start else ""


class Webhooks:
    """Whom to tell of the starts and ends of jobs, and what came of it."""

    def __init__(self, scripts: Scripts) -> None:
        self._run = scripts.run
        self._redis = scripts.redis
        self._now = scripts.now

    def due(self, count: int, *, lease_s: float, owner_most: int, under_way: Mapping[str, int]) -> list[Message]:
        """Messages that are to be sent now; they are the caller's for `lease_s` seconds.

        At most `count`, and of each owner so many that with those that the caller has `under_way` they are at most
        `owner_most`.
        """
        found = self._run(DUE, count=count, lease_s=lease_s, owner_most=owner_most, under_way=under_way)
        return [Message.named(*each) for each in cast("list[tuple[str, str, str]]", found)]

    def put_off(self, message: Message, *, after_s: float) -> None:
        """Look at it again after `after_s` seconds; it was not tried."""
        self._note(message, "pending", after_s=after_s)

    def end(self, message: Message, outcome: str) -> None:
        """Send it no more, and not for an attempt: `outcome` is a status of jobs.webhooks.WebhookState."""
        self._note(message, outcome)

    def tried(self, message: Message, attempt: WebhookAttempt, *, url: str, after_s: float = 0) -> None:
        """Note an attempt; while it is pending, there is another after `after_s` seconds."""
        delivery = WebhookDelivery(job_id=message.job_id, url=url, **dict(attempt))
        texts = {"attempt": attempt.model_dump_json(), "delivery": delivery.model_dump_json()}
        self._note(message, attempt.outcome, after_s=after_s, most=JOB_ATTEMPTS, owner_most=OWNER_ATTEMPTS, **texts)

    def deliveries(self, owner: str, *, kept_s: float) -> list[WebhookDelivery]:
        """An owner's last attempts of the last `kept_s` seconds, newest first."""
        found = self._redis.zrevrangebyscore(Key.DELIVERIES + owner, "+inf", self._now() - kept_s)
        return [WebhookDelivery.model_validate_json(each) for each in cast("list[str]", found)]

    def _note(self, message: Message, outcome: str, **arguments: Argument) -> None:
        self._run(NOTE, message.job_id, suffix=message.suffix, outcome=outcome, **arguments)
