"""How much may be done in a time: counts in Redis, so over all front-ends.

A count is a sliding window of two counters: what is done in the window at hand, and of the one before the part that
still reaches into the last `seconds`.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from jobs.store.names import RATES
from jobs.store.scripts import Call, Script

FORM = re.compile(r"(\d{1,10}) *(?:/|per) *([1-9]\d{0,3})? *(second|minute|hour|day|month|year)s?")
# A month of 30 days and a year of 360 stand in files of keys from versions before
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "month": 30 * 86400, "year": 360 * 86400}


@dataclass(frozen=True)
class Rate:
    """`amount` in `seconds`."""

    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `600/minute`. Raises ValueError."""
        found = FORM.fullmatch(text.strip().lower())
        if found is None:
            raise ValueError("a rate is N/second, N/minute, N/hour, N/day, N/month (30 days) or N/year (12 months)")
        return cls(int(found[1]), int(found[2] or 1) * SECONDS[found[3]])

    def __str__(self) -> str:
        unit, seconds = next(each for each in reversed(SECONDS.items()) if self.seconds % each[1] == 0)
        many = self.seconds // seconds
        return f"{self.amount}/{unit}" if many == 1 else f"{self.amount}/{many} {unit}s"


@dataclass(frozen=True)
class Charge:
    """What is asked for of what there may be so much: `cost` more of `what`, by `whom`."""

    what: str
    whom: str
    rate: Rate
    cost: int = 1

    @property
    def never_fits(self) -> bool:
        """Whether it is more than the whole rate, so that it has no room however long one waits."""
        return self.cost > self.rate.amount

    @property
    def argument(self) -> dict[str, str | float]:
        """It as scripts take it."""
        key = f"{RATES}{self.what}:{self.whom}"
        return {"key": key, "amount": self.rate.amount, "seconds": self.rate.seconds, "cost": self.cost}


@dataclass(frozen=True)
class Standing:
    """How it stands with a charge: so much is `left`, and in `reset_s` seconds there is more."""

    charge: Charge
    left: int
    reset_s: int


class TooManyError(Exception):
    """One of the charges has no room; `refused` says which, and when it has; `standings` those of all."""

    def __init__(self, refused: Standing, standings: list[Standing]) -> None:
        super().__init__(f"{refused.charge.cost} more is too many for {refused.charge.what}")
        self.refused = refused
        self.standings = standings


COUNTING = """
local function counter(each)
  local time = redis.call('TIME')
  local at = (tonumber(time[1]) + tonumber(time[2]) / 1000000) / each.seconds
  local its = redis.call('HMGET', each.key, 'window', 'count', 'before')
  local found = {window = math.floor(at), count = tonumber(its[2] or 0), before = tonumber(its[3] or 0)}
  local gone = found.window - tonumber(its[1] or -1)
  if gone ~= 0 then found.before, found.count = gone == 1 and found.count or 0, 0 end
  found.into = at - found.window
  return found
end
local function used(found) return found.count + math.floor(found.before * (1 - found.into)) end
-- Parts of a window until no more than `target` is used
local function until_used(found, target)
  if used(found) <= target then return 0 end
  if target < 0 then return 2 - found.into end
  if found.count <= target then return 1 - (target + 1 - found.count) / found.before - found.into end
  return 1 - found.into + 1 - (target + 1) / found.count
end
-- Count what is asked for, if all of it has room, or `take` nothing; the number of the one that has none, if any, and
-- what is left of each, and the seconds until there is more
local function count_all(rates, take)
  local refused, found, standings = 0, {}, {}
  for i, each in ipairs(rates) do
    found[i] = counter(each)
    if refused == 0 and used(found[i]) + each.cost > each.amount then refused = i end
  end
  for i, each in ipairs(rates) do
    local its = found[i]
    if take and refused == 0 then
      its.count = its.count + each.cost
      redis.call('HSET', each.key, 'window', its.window, 'count', its.count, 'before', its.before)
      redis.call('EXPIRE', each.key, 2 * each.seconds)
    end
    local target = refused == i and each.amount - each.cost or math.max(0, used(its) - 1)
    local left = math.max(0, each.amount - used(its))
    standings[i] = {left, string.format('%.3f', until_used(its, target) * each.seconds)}
  end
  return {refused, standings}
end
"""

# rates (each with key, amount, seconds, cost) -> as `count_all` says
# Even a full Redis counts, so that what makes room there can be asked for
CHARGE = Script(COUNTING + "insist() return count_all(a.rates, true)")


def charging(charges: Sequence[Charge]) -> Call[list[Standing]]:
    """Count all of it, or nothing. Raises TooManyError."""
    return Call(
        CHARGE,
        arguments={"rates": [each.argument for each in charges]},
        read=lambda found: standings_of(charges, found),
    )


def standings_of(charges: Sequence[Charge], found: Any) -> list[Standing]:
    """How it stands with charges by what `count_all` returned. Raises TooManyError."""
    refused, each = found
    standings = [
        Standing(charge, left=int(left), reset_s=max(1, math.ceil(float(reset_s))))
        for charge, (left, reset_s) in zip(charges, each, strict=True)
    ]
    if refused:
        raise TooManyError(standings[refused - 1], standings)
    return standings
