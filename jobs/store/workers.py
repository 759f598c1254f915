"""The workers that live, as they say themselves, and how many are wanted."""

from collections.abc import Mapping
from typing import cast

from jobs.schemas import JobKind
from jobs.store.names import Key
from jobs.store.scripts import Script, Scripts

# A worker's process that lives: holder, facts (texts by name), kept_s
BEAT = Script("""
local worker = WORKER .. a.holder
redis.call('DEL', worker)
for name, value in pairs(a.facts) do redis.call('HSET', worker, name, value) end
redis.call('EXPIRE', worker, a.kept_s)
local at = now()
redis.call('ZADD', WORKERS, at, a.holder)
redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', tonumber(at) - a.kept_s)
redis.call('ZREMRANGEBYSCORE', WORKERS, '(' .. at, '+inf')  -- from before the clock was set back
return 1
""")

# kinds -> how many workers would have something to do. It looks at what is worked on, never at all that waits.
WANTED = Script("""
local wanted = redis.call('ZCARD', RUNNING_JOBS) + redis.call('ZCOUNT', LIVE, now(), '+inf')
for _, kind in ipairs(a.kinds) do wanted = wanted + redis.call('ZCARD', QUEUE .. kind) end
for _, each in ipairs(redis.call('ZRANGE', CUT_JOBS, 0, -1)) do
  local most, canceled = unpack(redis.call('HMGET', JOB .. each, 'most_workers', 'cancel'))
  local parts = redis.call('SCARD', JOB .. each .. TAKEN)
  if not canceled then parts = parts + redis.call('ZCARD', JOB .. each .. OPEN) end
  wanted = wanted + math.min(parts, tonumber(most or math.huge))
end
return wanted
""")


class Workers:
    """Beats of workers' processes. One that is not heard of for `live_s` seconds is not counted."""

    def __init__(self, scripts: Scripts, live_s: int) -> None:
        self._run = scripts.run
        self._redis = scripts.redis
        self._now = scripts.now
        self._live_s = live_s

    def beat(self, holder: str, facts: Mapping[str, str | float]) -> None:
        """Say that the worker `holder` lives, and what it is."""
        texts = {name: str(value) for name, value in facts.items()}
        self._run(BEAT, holder=holder, facts=texts, kept_s=3 * self._live_s)

    def leave(self, holder: str) -> None:
        """Say that the worker `holder` ends."""
        self._redis.zrem(Key.WORKERS, holder)
        self._redis.delete(Key.WORKER + holder)

    def count(self) -> int:
        """How many live."""
        return self._redis.zcount(Key.WORKERS, self._now() - self._live_s, "+inf")

    def wanted(self) -> int:
        """How many would have something to do: jobs and parts of videos that wait or are worked on, as far as they may
        be at once, and live sessions."""
        return int(self._run(WANTED, kinds=[kind.value for kind in JobKind]))

    def names(self) -> list[str]:
        """Those that live, as `machine:pid`."""
        return cast("list[str]", self._redis.zrangebyscore(Key.WORKERS, self._now() - self._live_s, "+inf"))

    def live(self) -> dict[str, dict[str, str]]:
        """What each live worker said of itself last, by its name."""
        names = self.names()
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(Key.WORKER + name)
            return dict(zip(names, cast("list[dict[str, str]]", pipe.execute()), strict=True))
