"""What the front-end does every few seconds so that no job is lost, waits in vain or stays for ever."""

from typing import cast

from jobs.schemas import JobKind
from jobs.settings import LEASE_S
from jobs.store.names import Key
from jobs.store.scripts import Script, Scripts

TOMBSTONE_SECONDS = 7 * 24 * 3600
MAX_TOMBSTONES = 10_000  # of one owner; then the oldest go before their time
RESEND_AT_ONCE = 1000


# lease_ms (the longest) -> for how many of the job's parts a message is to be sent: those that ran without a holder
RECOVER = Script("""
local function lapsed(part)
  if redis.call('PTTL', lock_of(part)) > a.lease_ms then  -- the clock was set back; a dead holder's lease must not grow
    redis.call('PEXPIRE', lock_of(part), a.lease_ms)
  end
  return redis.call('EXISTS', lock_of(part)) == 0
end
if redis.call('EXISTS', job) == 0 or not live() then  -- a front-end of the version before ended it
  redis.call('ZREM', RUNNING_JOBS, id)
  drop_parts(get('status') ~= SUCCEEDED)
  return 0
end
local lost = {}
if cut() then
  for _, part in ipairs(redis.call('SMEMBERS', taken)) do if lapsed(part) then lost[#lost + 1] = part end end
elseif get('status') == RUNNING and lapsed('') then
  lost[1] = ''
end
if get('cancel') and (cut() or #lost > 0) then
  if not held() then finish(CANCELED) end
  return 0
end
for _, part in ipairs(lost) do
  insist()
  if cut() or get('claimed_at') then lose() end  -- else it was counted when its lock was broken
  if cut() then reopen(part) else requeue() end
end
return #lost
""")

# kind, messages (that wait), age_s, most (jobs that are looked at) -> those next in turn whose next message is due now,
# one as often as parts of it wait that may be worked on at once
RESEND = Script("""
local at, due, lacking = tonumber(now()), {}, -a.messages
local function ask(each, most)
  local age = at - tonumber(redis.call('HGET', JOB .. each, 'queued_at') or at)
  if age >= 0 and age < a.age_s then return end  -- below 0 the clock was set back
  redis.call('HSET', JOB .. each, 'queued_at', now())
  for _ = 1, math.min(most, lacking - #due) do due[#due + 1] = each end
end
local parts = {}
for _, each in ipairs(redis.call('ZRANGE', GOING .. a.kind, 0, -1)) do
  local most = tonumber(redis.call('HGET', JOB .. each, 'most_workers') or math.huge)
  parts[each] = math.min(redis.call('ZCARD', JOB .. each .. OPEN), most)
  lacking = lacking + parts[each]
end
lacking = lacking + redis.call('ZCARD', QUEUE .. a.kind)
for each, waiting in pairs(parts) do if #due < lacking then ask(each, waiting) end end
for _, each in ipairs(redis.call('ZRANGE', QUEUE .. a.kind, 0, lacking > #due and a.most - 1 or -1e9)) do
  if #due >= lacking then break end
  ask(each, 1)
end
return due
""")

# -> 1 when the job was waiting beyond its deadline
LATE = Script("""
redis.call('ZREM', DEADLINES, id)
if redis.call('EXISTS', job) == 0 or not live() then return 0 end
return late() and 1 or 0
""")

# tombstone_s (a tombstone's life): what is left until it is deleted says that there was such a job -> its owner, or ''
EXPIRE = Script("""
redis.call('ZREM', EXPIRING, id)
if redis.call('EXISTS', job) == 0 or live() then return '' end
local latest = tonumber(get('finished_at')) + tonumber(get('retention'))
local function untold(what, since) return get(since) and not get('webhook_status' .. what) end
if (untold('', 'webhook') or untold(STARTED, 'webhook_attempts' .. STARTED)) and tonumber(now()) < latest then
  redis.call('ZADD', EXPIRING, string.format('%.6f', math.min(tonumber(now()) + 60, latest)), id)
  return ''
end
redis.call('HSET', job, 'status', EXPIRED)
redis.call('DEL', spec, segments, events)
redis.call('HDEL', job, 'webhook_log')
release()
redis.call('ZADD', TOMBSTONES, string.format('%.6f', tonumber(now()) + a.tombstone_s), id)
redis.call('ZADD', OWNER_TOMBSTONES .. get('owner'), get('number'), id)
return get('owner')
""")

# -> 1 when there was such a job
DELETE = Script("""
redis.call('ZREM', TOMBSTONES, id)
if redis.call('EXISTS', job) == 0 then return 0 end
dequeue()
release()
redis.call('ZREM', OWNER .. get('owner'), id)
redis.call('ZREM', OWNER_TOMBSTONES .. get('owner'), id)
redis.call('ZREM', RUNNING_JOBS, id)
redis.call('ZREM', EXPIRING, id)
redis.call('ZREM', WEBHOOKS, id, id .. STARTED)
redis.call('ZREM', DEADLINES, id)
redis.call('ZREM', UNTIDY, id)
drop_parts(true)
redis.call('DEL', job, spec, events)
return 1
""")


class Upkeep:
    """Steps that several front-ends may do at once: each is atomic."""

    def __init__(self, scripts: Scripts) -> None:
        self._run = scripts.run
        self._redis = scripts.redis
        self._now = scripts.now

    def recover_orphans(self, *, lease_s: float = LEASE_S) -> list[tuple[str, JobKind]]:
        """Queue again every running job whose holder's lease, of at most `lease_s`, has lapsed, and every such part of
        one; the caller sends their messages anew: a job is told as often as parts of it were lost."""
        recovered = []
        for key in (Key.RUNNING_JOBS, Key.CUT_JOBS):
            for job_id in cast("list[str]", self._redis.zrange(key, 0, -1)):
                for _ in range(self._run(RECOVER, job_id, lease_ms=int(1000 * lease_s))):
                    recovered.append((job_id, JobKind(cast(str, self._redis.hget(Key.JOB + job_id, "kind")))))
        return recovered

    def due_for_resend(self, kind: JobKind, *, messages: int, age_s: float) -> list[str]:
        """As many waiting jobs as there are too few `messages`, of those whose last was sent `age_s` seconds ago.

        A message was lost: its sender died before sending it, or a worker died that had taken it. The caller sends
        it anew; should it turn up after all, the worker that takes it finds nothing to do. Only the jobs next in turn
        are looked at: a message calls for whoever is first, and a long queue shall not hold anybody up.
        """
        due = self._run(RESEND, kind=kind, messages=messages, age_s=age_s, most=RESEND_AT_ONCE)
        return cast("list[str]", due)

    def fail_late(self) -> list[str]:
        """Fail the waiting jobs whose deadlines have passed."""
        return [job_id for job_id in self._due(Key.DEADLINES) if self._run(LATE, job_id)]

    def expire_due(self, *, tombstone_s: float = TOMBSTONE_SECONDS) -> list[str]:
        """Turn finished jobs whose time has come into tombstones; the caller removes their artifacts.

        Tombstones older than `tombstone_s` are forgotten, and those that are too many for their owner.
        """
        for job_id in self._due(Key.TOMBSTONES):
            self._run(DELETE, job_id)
        owners = {job_id: self._run(EXPIRE, job_id, tombstone_s=tombstone_s) for job_id in self._due(Key.EXPIRING)}
        for owner in {*owners.values()} - {""}:
            surplus = self._redis.zrange(Key.OWNER_TOMBSTONES + owner, 0, -MAX_TOMBSTONES - 1)
            for job_id in cast("list[str]", surplus):
                self._run(DELETE, job_id)
        return [job_id for job_id, owner in owners.items() if owner]

    def untidy(self) -> list[str]:
        """Videos that have ended, of which files may lie about that are none of `JobStore.files`: of attempts that
        died, or of all where nobody was at work; the caller removes them, and says so (`tidied`)."""
        return cast("list[str]", self._redis.zrange(Key.UNTIDY, 0, 999))

    def tidied(self, job_id: str) -> None:
        """Take a job from those that are untidy."""
        self._redis.zrem(Key.UNTIDY, job_id)

    def _due(self, key: Key) -> list[str]:
        return cast("list[str]", self._redis.zrangebyscore(key, "-inf", self._now(), start=0, num=1000))
