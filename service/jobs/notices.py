"""Webhooks that are due: lent to one front-end at a time until they are taken or given up."""

from typing import cast

from service.jobs.scripts import Scripted

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


class Notices(Scripted):
    """Whom to tell of the ends of jobs."""

    def due_webhooks(self, count: int, *, lease_s: float) -> list[str]:
        """Jobs whose webhooks are to be sent now, at most `count`; they are the caller's for `lease_s` seconds."""
        return cast("list[str]", self._run(DUE_WEBHOOKS, "", count, lease_s))

    def retry_webhook(self, job_id: str, *, after_s: float) -> None:
        """Count an attempt that failed; the next is due after `after_s` seconds."""
        self._run(RETRY_WEBHOOK, job_id, after_s)

    def end_webhook(self, job_id: str, outcome: str) -> None:
        """Send no more: `outcome` is a status of service.jobs.schemas.WebhookState."""
        self._run(END_WEBHOOK, job_id, outcome)
