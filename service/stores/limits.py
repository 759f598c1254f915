"""What is counted in a time, over all front-ends."""

from dataclasses import dataclass

from jobs.store.scripts import Script, Scripts

# A window of time begins with what is counted first in it; what was counted in the one before fades as it goes on. So
# at no time much more is taken in `seconds` than `amount`. `id` is of what is counted, by whom and in what time.
# amount, seconds, cost, take (whether it is counted) -> 1 if there is room for it else 0, how much is left, and the
# seconds until there is room, or until this window ends
COUNT = Script("""
local key, time = LIMIT .. id, tonumber(now())
local found = redis.call('HMGET', key, 'since', 'count', 'before')
local since, fresh, before = tonumber(found[1] or 0), tonumber(found[2] or 0), tonumber(found[3] or 0)
local windows = math.floor((time - since) / a.seconds)
if windows == 1 then since, before, fresh = since + a.seconds, fresh, 0
elseif windows ~= 0 then since, before, fresh = time, 0, 0 end
local ends = since + a.seconds - time
local used = math.floor(before * ends / a.seconds) + fresh
if used + a.cost <= a.amount then
  if a.take then
    redis.call('HSET', key, 'since', string.format('%.6f', since), 'count', fresh + a.cost, 'before', before)
    redis.call('EXPIRE', key, 2 * a.seconds)
    used = used + a.cost
  end
  return {1, a.amount - used, math.ceil(ends)}
end
local room = a.amount - a.cost + 1  -- how much may be counted, just not reached
local wait = ends  -- also of more than there ever is
if room > fresh then wait = ends - (room - fresh) * a.seconds / before
elseif room > 0 then wait = ends + math.max(0, a.seconds - room * a.seconds / fresh) end
return {0, math.max(0, a.amount - used), math.max(1, math.ceil(wait))}
""")


@dataclass(frozen=True)
class Standing:
    """What was found: of `amount` in `seconds` so much is `left`, and whether there was `room` for what was asked.

    `reset_s`: seconds until there is, or until the window of time ends.
    """

    amount: int
    seconds: int
    left: int
    reset_s: int
    room: bool


class Limits:
    """Counts in Redis."""

    def __init__(self, scripts: Scripts) -> None:
        self._run = scripts.run

    def count(self, what: str, whose: str, amount: int, seconds: int, *, cost: int = 1, take: bool = True) -> Standing:
        """Count `cost` more, if there is room; with `take` false only look whether there is."""
        counted = f"{what}:{whose}:{seconds}"
        room, left, reset_s = self._run(COUNT, counted, amount=amount, seconds=seconds, cost=cost, take=take)
        return Standing(amount, seconds, left, reset_s, bool(room))
