"""Workers that live, and what is expected of them."""

import contextlib

import pytest

from jobs.store.jobs import JobStore
from jobs.store.names import Key
from tests.jobs.conftest import RESULT, age, claim, create, read


def test_the_wait_is_estimated_by_the_pace_of_late(store: JobStore) -> None:
    first = create(store)
    assert read(store, first).estimated_wait_s is None  # nothing is known yet
    taken = claim(store, first)
    age(store, first, "claimed_at", 100)
    store.claims.succeed(taken, RESULT, key="k")
    second, third = create(store), create(store)
    assert read(store, third).estimated_wait_s is None  # nobody works
    store.workers.beat("host:1", {"state": "ready"})
    assert read(store, second).estimated_wait_s == 0
    assert read(store, third).estimated_wait_s == pytest.approx(100, abs=30)
    store.workers.beat("host:2", {"state": "ready"})
    assert read(store, third).estimated_wait_s == pytest.approx(50, abs=15)
    assert sorted(store.workers.live()) == ["host:1", "host:2"]
    store.workers.leave("host:2")
    assert store.workers.live() == {"host:1": {"state": "ready"}}


def test_how_long_a_silent_worker_is_counted_can_be_set(store: JobStore, redis_url: str) -> None:
    with contextlib.closing(JobStore.connect(redis_url, live_s=10)) as brief:
        brief.workers.beat("host:1", {"state": "ready"})
        assert sorted(brief.workers.live()) == ["host:1"]
        store._redis.zincrby(Key.WORKERS, -12, "host:1")
        assert brief.workers.live() == {}
        assert sorted(store.workers.live()) == ["host:1"]
