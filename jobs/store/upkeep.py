"""What the front-end does every few seconds so that no job is lost, waits in vain or stays for ever."""

from typing import cast

from jobs.schemas import JobKind
from jobs.settings import LEASE_S
from jobs.store.scripts import Scripted

TOMBSTONE_SECONDS = 7 * 24 * 3600
MAX_TOMBSTONES = 10_000  # of one owner; then the oldest go before their time
RESEND_AT_ONCE = 1000


# longest lease in ms -> the job's kind when it was running without a holder and is queued again, else ''
RECOVER = """
if redis.call('PTTL', lock) > tonumber(ARGV[3]) then  -- the clock was set back; a dead holder's lease must not grow
  redis.call('PEXPIRE', lock, ARGV[3])
end
if redis.call('EXISTS', job) == 0 then redis.call('ZREM', prefix .. 'running', id) return '' end
if get('status') ~= 'running' or redis.call('EXISTS', lock) == 1 then return '' end
if get('cancel') then finish('canceled') return '' end
requeue()
return get('kind')
"""

# '' in place of the job, kind, messages that wait, age in seconds, how many jobs are looked at -> those next in turn
# whose next message is due now
RESEND = """
local queue, at, due = prefix .. 'queue:' .. ARGV[3], tonumber(now()), {}
local lacking = redis.call('ZCARD', queue) - tonumber(ARGV[4])
if lacking <= 0 then return due end
for _, each in ipairs(redis.call('ZRANGE', queue, 0, tonumber(ARGV[6]) - 1)) do
  if #due == lacking then break end
  local age = at - tonumber(redis.call('HGET', prefix .. 'job:' .. each, 'queued_at') or at)
  if age < 0 or age >= tonumber(ARGV[5]) then  -- below 0 the clock was set back
    redis.call('HSET', prefix .. 'job:' .. each, 'queued_at', now())
    due[#due + 1] = each
  end
end
return due
"""

# -> 1 when the job was waiting beyond its deadline
LATE = """
redis.call('ZREM', prefix .. 'deadlines', id)
if redis.call('EXISTS', job) == 0 or not live() then return 0 end
return late() and 1 or 0
"""

# tombstone's life in seconds: what is left until it is deleted says that there was such a job -> its owner, or ''
EXPIRE = """
redis.call('ZREM', prefix .. 'expiring', id)
if redis.call('EXISTS', job) == 0 or live() then return '' end
local latest = tonumber(get('finished_at')) + tonumber(get('retention'))
if get('webhook') and not get('webhook_status') and tonumber(now()) < latest then  -- its end is still to be told
  redis.call('ZADD', prefix .. 'expiring', string.format('%.6f', math.min(tonumber(now()) + 60, latest)), id)
  return ''
end
redis.call('HSET', job, 'status', 'expired')
publish_status('expired')
redis.call('XTRIM', events, 'MAXLEN', 1)
redis.call('DEL', spec)
release()
redis.call('ZADD', prefix .. 'tombstones', string.format('%.6f', tonumber(now()) + tonumber(ARGV[3])), id)
redis.call('ZADD', prefix .. 'tombstones:' .. get('owner'), get('number'), id)
return get('owner')
"""

DELETE = """
redis.call('ZREM', prefix .. 'tombstones', id)
if redis.call('EXISTS', job) == 0 then return 0 end
dequeue()
release()
redis.call('ZREM', prefix .. 'owner:' .. get('owner'), id)
redis.call('ZREM', prefix .. 'tombstones:' .. get('owner'), id)
redis.call('ZREM', prefix .. 'running', id)
redis.call('ZREM', prefix .. 'expiring', id)
redis.call('ZREM', prefix .. 'webhooks', id)
redis.call('ZREM', prefix .. 'deadlines', id)
redis.call('DEL', job, spec, lock, events)
return 1
"""


class Upkeep(Scripted):
    """Steps that several front-ends may do at once: each is atomic."""

    def recover_orphans(self, *, lease_s: float = LEASE_S) -> list[tuple[str, JobKind]]:
        """Queue again every running job whose holder's lease, of at most `lease_s`, has lapsed; the caller sends their
        messages anew."""
        recovered = []
        for job_id in cast("list[str]", self._redis.zrange(self._key("running"), 0, -1)):
            if kind := self._run(RECOVER, job_id, int(1000 * lease_s)):
                recovered.append((job_id, JobKind(kind)))
        return recovered

    def due_for_resend(self, kind: JobKind, *, messages: int, age_s: float) -> list[str]:
        """As many waiting jobs as there are too few `messages`, of those whose last was sent `age_s` seconds ago.

        A message was lost: its sender died before sending it, or a worker died that had taken it. The caller sends
        it anew; should it turn up after all, the worker that takes it finds nothing to do. Only the jobs next in turn
        are looked at: a message calls for whoever is first, and a long queue shall not hold anybody up.
        """
        return cast("list[str]", self._run(RESEND, "", kind.value, messages, age_s, RESEND_AT_ONCE))

    def fail_late(self) -> list[str]:
        """Fail the waiting jobs whose deadlines have passed."""
        seconds, _ = self._redis.time()
        return [job_id for job_id in self._due("deadlines", seconds) if self._run(LATE, job_id)]

    def expire_due(self, *, tombstone_s: float = TOMBSTONE_SECONDS) -> list[str]:
        """Turn finished jobs whose time has come into tombstones; the caller removes their artifacts.

        Tombstones older than `tombstone_s` are forgotten, and those that are too many for their owner.
        """
        seconds, _ = self._redis.time()
        for job_id in self._due("tombstones", seconds):
            self._run(DELETE, job_id)
        owners = {job_id: self._run(EXPIRE, job_id, tombstone_s) for job_id in self._due("expiring", seconds)}
        for owner in {*owners.values()} - {""}:
            surplus = self._redis.zrange(self._key("tombstones", owner), 0, -MAX_TOMBSTONES - 1)
            for job_id in cast("list[str]", surplus):
                self._run(DELETE, job_id)
        return [job_id for job_id, owner in owners.items() if owner]

    def delete(self, job_id: str) -> bool:
        """Forget the job. A worker that holds it learns so at its next write. The caller removes the artifacts."""
        return bool(self._run(DELETE, job_id))

    def _due(self, name: str, now: float) -> list[str]:
        return cast("list[str]", self._redis.zrangebyscore(self._key(name), "-inf", now, start=0, num=1000))
