"""What is counted in a time: no more is taken than allowed, and what is told of it holds."""

import pytest

from jobs.store.jobs import JobStore
from jobs.store.names import Key
from jobs.store.scripts import Scripts
from service.stores.limits import Limits, Standing

DAY = 86_400


@pytest.fixture
def limits(store: JobStore) -> Limits:
    return Limits(Scripts(store._redis))


def later(store: JobStore, seconds: float) -> None:
    """Let time pass: what was counted was counted so much earlier."""
    for key in map(str, store._redis.scan_iter(f"{Key.LIMIT}*")):
        store._redis.hincrbyfloat(key, "since", -seconds)


def test_what_is_left_is_told(limits: Limits) -> None:
    assert limits.count("jobs", "me", 3, DAY, take=False) == Standing(3, DAY, 3, DAY, room=True)
    assert limits.count("jobs", "me", 3, DAY, cost=2) == Standing(3, DAY, 1, DAY, room=True)
    assert not limits.count("jobs", "me", 3, DAY, cost=2).room  # and is not counted
    assert limits.count("jobs", "me", 3, DAY) == Standing(3, DAY, 0, DAY, room=True)
    assert not limits.count("jobs", "me", 3, DAY).room
    for other in (("jobs", "they"), ("requests", "me")):
        assert limits.count(*other, 3, DAY).left == 2


@pytest.mark.parametrize("cost", [1, 2, 5])
@pytest.mark.parametrize(("first", "second"), [(10, 0), (5, 5), (0, 10), (9, 4), (10, 10)])
def test_there_is_room_as_soon_as_was_told_and_not_before(
    limits: Limits, store: JobStore, first: int, second: int, cost: int
) -> None:
    for times in (first, second):  # in the window before, and in this one
        for _ in range(times):
            limits.count("jobs", "me", 10, DAY)
        later(store, 0.6 * DAY)
    while limits.count("jobs", "me", 10, DAY).room:
        pass
    refused = limits.count("jobs", "me", 10, DAY, cost=cost)
    assert not refused.room
    later(store, refused.reset_s - 30)  # a margin for the time that the test takes
    assert not limits.count("jobs", "me", 10, DAY, cost=cost, take=False).room
    later(store, 31)
    assert limits.count("jobs", "me", 10, DAY, cost=cost, take=False).room


def test_what_was_counted_fades_and_goes(limits: Limits, store: JobStore) -> None:
    limits.count("jobs", "me", 100, DAY, cost=100)
    later(store, 1.5 * DAY)
    assert limits.count("jobs", "me", 100, DAY, take=False).left in (50, 51)
    later(store, DAY)
    assert limits.count("jobs", "me", 100, DAY, take=False).left == 100
    (key,) = store._redis.scan_iter(f"{Key.LIMIT}*")
    assert 0 < store._redis.ttl(key) <= 2 * DAY


def test_more_than_all_is_never_taken(limits: Limits) -> None:
    for cost in (4, 5, 64):
        assert limits.count("jobs", "me", 3, DAY, cost=cost) == Standing(3, DAY, 3, DAY, room=False)
