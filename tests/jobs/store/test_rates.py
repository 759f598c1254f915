"""What is done in a time, as Redis counts it."""

import time
from collections.abc import Sequence

import pytest
import redis

from jobs.schemas import JobKind
from jobs.store.jobs import JobStore
from jobs.store.rates import Charge, Rate, Standing, TooManyError, charging


@pytest.mark.parametrize(
    ("text", "amount", "seconds", "shown"),
    [
        ("600/minute", 600, 60, "600/minute"),
        ("1 per hour", 1, 3600, "1/hour"),
        ("10/2 minutes", 10, 120, "10/2 minutes"),
        ("5/Seconds", 5, 1, "5/second"),
        ("1000000000/day", 10**9, 86400, "1000000000/day"),
        ("5 / month", 5, 30 * 86400, "5/month"),
        ("7per2years", 7, 720 * 86400, "7/2 years"),
        ("0/day", 0, 86400, "0/day"),
    ],
)
def test_a_rate_is_read_and_shown(text: str, amount: int, seconds: int, shown: str) -> None:
    rate = Rate.parse(text)
    assert (rate.amount, rate.seconds, str(rate)) == (amount, seconds, shown)


@pytest.mark.parametrize("text", ["", "-1/minute", "5", "5/week", "1e3/day", "5/0 days", "5/minute/day"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="N/second"):
        Rate.parse(text)


def take(store: JobStore, *charges: Charge) -> Sequence[Standing]:
    return store.do(charging(charges))


def ask(store: JobStore, *charges: Charge) -> Sequence[Standing]:
    """As before an upload is read."""
    return store.do(store.creation.asking(JobKind.IMAGE, "me", charges)).standings


def use_up(store: JobStore, charge: Charge) -> None:
    for _ in range(charge.rate.amount + 1):
        take(store, charge)


def test_only_as_much_is_counted_as_there_may_be(store: JobStore) -> None:
    charge = Charge("requests", "me", Rate(3, 3600))
    assert [take(store, charge)[0].left for _ in range(3)] == [2, 1, 0]
    with pytest.raises(TooManyError) as caught:
        take(store, charge)
    assert caught.value.refused.left == 0
    assert 1 <= caught.value.refused.reset_s <= 2 * 3600
    assert take(store, Charge("requests", "other", Rate(3, 3600)))[0].left == 2
    assert take(store, Charge("jobs", "me", Rate(3, 3600)))[0].left == 2


def test_asking_counts_nothing(store: JobStore) -> None:
    charge = Charge("jobs", "me", Rate(2, 3600), cost=2)
    assert ask(store, charge)[0].left == 2
    assert take(store, charge)[0].left == 0
    with pytest.raises(TooManyError):
        ask(store, charge)


def test_of_several_all_are_counted_or_none(store: JobStore) -> None:
    wide, narrow = Charge("jobs", "wide", Rate(9, 3600)), Charge("jobs", "narrow", Rate(1, 3600))
    assert [each.left for each in take(store, wide, narrow)] == [8, 0]
    with pytest.raises(TooManyError) as caught:
        take(store, wide, narrow)
    assert caught.value.refused.charge is narrow
    assert [each.left for each in caught.value.standings] == [8, 0]


def test_more_than_there_may_ever_be_is_refused(store: JobStore) -> None:
    with pytest.raises(TooManyError):
        take(store, Charge("jobs", "me", Rate(5, 60), cost=6))
    assert take(store, Charge("jobs", "me", Rate(5, 60), cost=5))[0].left == 0
    with pytest.raises(TooManyError):
        take(store, Charge("jobs", "nobody", Rate(0, 60)))


def test_the_time_that_is_told_is_the_time_until_there_is_room(store: JobStore, redis_url: str) -> None:
    charge = Charge("requests", "me", Rate(4, 2))
    for _ in range(2):
        with pytest.raises(TooManyError) as caught:
            use_up(store, charge)
        time.sleep(caught.value.refused.reset_s)
        take(store, charge)
    with redis.Redis.from_url(redis_url) as client:
        assert 0 < client.ttl("pirenderer:rate:requests:me") <= 4


def test_the_window_slides(store: JobStore, redis_url: str) -> None:
    """Of the window before as much counts as reaches into the last seconds."""
    charge = Charge("requests", "me", Rate(100, 1000))
    with redis.Redis.from_url(redis_url) as client:
        window, into = divmod(client.time()[0], 1000)
        before = {"window": window - 1, "count": 50, "before": 7}
        client.hset("pirenderer:rate:requests:me", mapping=before)
        left = ask(store, charge)[0].left
        assert abs(left - (100 - 50 * (1000 - into) / 1000)) <= 1.1
        client.hset("pirenderer:rate:requests:me", mapping={"window": window - 2, "count": 50, "before": 50})
        assert ask(store, charge)[0].left == 100
