"""Whose turn it is."""

from jobs.schemas import JobKind
from jobs.store.jobs import JobStore
from jobs.store.records import Claim, Turn
from tests.jobs.conftest import RESULT, claim, create, read


def test_queue_position_counts_the_jobs_of_the_kind_ahead(store: JobStore) -> None:
    first, second, third = (create(store) for _ in range(3))
    assert [read(store, job).queue_position for job in (first, second, third)] == [0, 1, 2]
    claim(store, first)
    assert [read(store, job).queue_position for job in (first, second, third)] == [None, 0, 1]
    assert store.turns.queue_lengths() == {JobKind.IMAGE: 2, JobKind.VIDEO: 0, JobKind.MOTION: 0}


def test_owners_take_turns(store: JobStore) -> None:
    many = [create(store, owner="busy") for _ in range(5)]
    one = create(store, owner="modest")
    assert read(store, one).queue_position == 1
    two = create(store, owner="modest")
    served: list[str] = []
    while turns := store.turns.next(JobKind.IMAGE):
        turn = turns[0].job_id
        served.append(turn)
        store.claims.succeed(claim(store, turn), RESULT, key="k")
        if len(served) == 4:  # who comes late stands beside who is first, not behind everybody
            late = create(store, owner="late")
            assert read(store, late).queue_position == 0
    assert served == [many[0], one, many[1], two, late, *many[2:]]


def test_who_asks_for_one_after_the_other_does_not_starve_the_rest(store: JobStore) -> None:
    waiting = [create(store, owner="busy") for _ in range(3)]
    served: list[str] = []
    hasty = create(store, owner="hasty")
    while len(served) < 6:
        turn = store.turns.next(JobKind.IMAGE)[0].job_id
        taken = claim(store, turn)
        if turn == hasty:  # the next one is there before a worker is free again
            hasty = create(store, owner="hasty")
        served.append("busy" if turn in waiting else "hasty")
        store.claims.succeed(taken, RESULT, key="k")
    assert served.count("busy") == 3


def test_a_job_given_back_is_next_again(store: JobStore) -> None:
    first = create(store, owner="a")
    others = [create(store, owner=owner) for owner in "bcd"]
    taken = claim(store, first)
    for other in others[:2]:
        store.claims.succeed(claim(store, other), RESULT, key="k")
    late = create(store, owner="e")
    store.claims.give_back(taken)
    assert store.turns.next(JobKind.IMAGE)[0] == Turn(first)
    assert read(store, late).queue_position == 2


def test_a_message_sent_again_calls_for_the_job_it_was_used_for(store: JobStore) -> None:
    first, second = create(store), create(store)
    taken = store.claims.claim(first, holder="host:1", token="m")
    assert isinstance(taken, Claim)
    assert store.turns.candidates(JobKind.IMAGE, "m") == [Turn(first, ""), Turn(second)]
    assert store.turns.candidates(JobKind.IMAGE, "other") == [Turn(second)]
    assert store.turns.turn_of_token("other") is None


def test_nothing_of_the_queue_stays_when_it_is_empty(store: JobStore) -> None:
    for _ in range(3):
        create(store)
    while turns := store.turns.next(JobKind.IMAGE):
        store.delete(turns[0].job_id)
    left = {key.removeprefix("pirenderer:") for key in store._redis.scan_iter()}
    assert left <= {"number"}


def test_nothing_stays_of_jobs_that_workers_of_the_version_before_took(store: JobStore) -> None:
    job_id = create(store)
    store._redis.zadd("pirenderer:turns:image:me", {"taken": 0})
    store.claims.succeed(claim(store, job_id), RESULT, key="k")
    assert store._redis.keys("pirenderer:turns:*") == []
