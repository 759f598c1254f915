"""How many workers would have something to do, and what was lost with those that died."""

import time

import pytest

from jobs.live import LiveOptions, LiveSpec
from jobs.problems import Problem, ProblemType
from jobs.schemas import JobKind
from jobs.store import live as live_module
from jobs.store.jobs import JobStore
from jobs.store.names import Key
from jobs.store.records import Found
from tests.jobs.conftest import RESULT, SPEC, claim, create
from tests.jobs.store.test_segments import MADE, begun, done, take, video


def test_jobs_count_from_their_making_to_their_end(store: JobStore) -> None:
    assert store.workers.wanted() == 0
    first, second, third = create(store), create(store, owner="you"), create(store)
    assert store.workers.wanted() == 3
    claims = [claim(store, job) for job in (first, second)]
    assert store.workers.wanted() == 3
    store.claims.give_back(claims[1])
    assert store.workers.wanted() == 3
    store.claims.succeed(claims[0], RESULT, key="k")
    assert store.workers.wanted() == 2
    store.claims.fail(claim(store, second), Problem.of(ProblemType.NO_FACE, "no face"))
    assert store.workers.wanted() == 1
    store.request_cancel(third)
    assert store.workers.wanted() == 0


def test_a_video_counts_by_its_parts_as_they_open_and_end(store: JobStore) -> None:
    job_id = video(store)
    assert store.workers.wanted() == 1
    plan = take(store, job_id, "planner:1")
    assert store.workers.wanted() == 1
    store.claims.give_back(plan)
    plan = begun(store, job_id, 0)
    assert store.workers.wanted() == 1
    for index in range(3):
        store.segments.open(plan, index, f"plan-{index}.npz")
        assert store.workers.wanted() == 2 + index
    segments = [take(store, job_id, f"host:{number}") for number in range(2)]
    assert store.workers.wanted() == 4
    done(store, segments[0])
    assert store.workers.wanted() == 3
    store.claims.give_back(segments[1])
    assert store.workers.wanted() == 3
    store.segments.planned(plan, frames=36, found=Found())
    assert store.workers.wanted() == 2
    for left in (1, 1):  # who ends the last segment opens the join
        done(store, take(store, job_id))
        assert store.workers.wanted() == left
    join = take(store, job_id)
    assert join.joins
    assert store.workers.wanted() == 1
    store.claims.succeed(join, MADE, key="k")
    assert store.workers.wanted() == 0


def test_a_video_wants_no_more_than_may_work_on_it_at_once(store: JobStore) -> None:
    begun(store, video(store), 5, most_workers=2)
    assert store.workers.wanted() == 2
    begun(store, video(store), 5)
    assert store.workers.wanted() == 2 + 6


def test_a_plan_that_is_set_aside_leaves_room_for_another_worker(store: JobStore) -> None:
    plan = begun(store, video(store), 1)
    image = create(store)
    assert store.workers.wanted() == 3
    with store.claims.set_aside(plan):
        mine = claim(store, image, "planner:1")
        assert store.workers.wanted() == 3
        store.claims.succeed(mine, RESULT, key="k")
    assert store.workers.wanted() == 2


def test_what_a_dead_worker_had_is_wanted_all_the_time(store: JobStore) -> None:
    job_id = video(store)
    begun(store, job_id, 2)
    take(store, job_id, lease_s=0.05)
    claim(store, create(store), lease_s=0.05)
    assert store.workers.wanted() == 4
    time.sleep(0.1)
    assert store.workers.wanted() == 4
    assert len(store.upkeep.recover_orphans()) == 2
    assert store.workers.wanted() == 4


def test_of_a_canceled_video_only_who_works_on_it_counts(store: JobStore) -> None:
    job_id = video(store)
    plan = begun(store, job_id, 3)
    assert store.workers.wanted() == 4
    store.request_cancel(job_id)
    assert store.workers.wanted() == 1
    store.claims.cancel(plan)
    assert store.workers.wanted() == 0


def test_live_sessions_count_whether_they_wait_or_are_held(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = LiveSpec(owner="me", portrait=SPEC.portrait, options=LiveOptions(size=256))
    store.live.open("one", spec, most=2, share=2)
    store.live.open("two", spec, most=2, share=2)
    assert store.workers.wanted() == 2
    taken = store.live.take("one", "machine:1")
    assert taken is not None
    assert store.workers.wanted() == 2
    store.live.leave(taken)
    assert store.workers.wanted() == 2
    store.live.close("one")
    assert store.workers.wanted() == 1
    store.live.close("two")
    assert store.workers.wanted() == 0
    monkeypatch.setattr(live_module, "LEASE_S", 0.05)
    store.live.open("three", spec, most=2, share=2)
    time.sleep(0.1)  # its front-end died
    assert store.workers.wanted() == 0


def test_what_waits_is_not_looked_at_one_by_one(store: JobStore) -> None:
    """Ten thousand jobs that wait cost as many commands as none."""

    def commands() -> int:
        statistics = store._redis.info("commandstats")
        return sum(each["calls"] for each in statistics.values())

    def once() -> int:
        before = commands()
        store.workers.wanted()
        return commands() - before

    def cost() -> int:  # others may ask the same Redis for something meanwhile
        return min(once() for _ in range(5))

    store.workers.wanted()
    empty = cost()
    store._redis.zadd(Key.QUEUE + "image", {f"job-{number}": number for number in range(10_000)})
    assert store.workers.wanted() == 10_000
    assert cost() == empty


def test_what_was_lost_with_its_worker_is_counted_once(store: JobStore) -> None:
    assert store.claims.lost() == dict.fromkeys(JobKind, 0)
    image, film = create(store), video(store)
    begun(store, film, 2)
    held = claim(store, image)
    assert store.claims.break_lock(image, held.lock)  # another process of its machine sees it first
    store.upkeep.recover_orphans()
    assert store.claims.lost() == {JobKind.IMAGE: 1, JobKind.VIDEO: 0, JobKind.MOTION: 0}
    claim(store, image, lease_s=0.05)
    take(store, film, lease_s=0.05)
    lock = take(store, film).lock
    assert store.claims.break_lock(film, lock, part="1")
    time.sleep(0.1)
    store.upkeep.recover_orphans()
    store.upkeep.recover_orphans()
    assert store.claims.lost() == {JobKind.IMAGE: 2, JobKind.VIDEO: 2, JobKind.MOTION: 0}
    store.claims.give_back(claim(store, image))
    assert store.claims.lost()[JobKind.IMAGE] == 2
