"""The workers that live, as they say themselves."""

from collections.abc import Mapping
from typing import cast

from jobs.store.scripts import Scripted

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


class Workers(Scripted):
    """Beats of workers' processes."""

    def beat(self, holder: str, facts: Mapping[str, str | float]) -> None:
        """Say that the worker `holder` lives, and what it is."""
        pairs = [each for name, value in facts.items() for each in (name, value)]
        self._run(BEAT, holder, 3 * self._live_s, *pairs)

    def leave(self, holder: str) -> None:
        """Say that the worker `holder` ends."""
        self._redis.zrem(self._key("workers"), holder)
        self._redis.delete(self._key("worker", holder))

    def workers(self) -> dict[str, dict[str, str]]:
        """What each live worker said of itself last, by its name `host:pid`."""
        heard = self._redis.time()[0] - self._live_s
        names = cast("list[str]", self._redis.zrangebyscore(self._key("workers"), heard, "+inf"))
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(self._key("worker", name))
            return dict(zip(names, cast("list[dict[str, str]]", pipe.execute()), strict=True))
