"""Whose turn it is where parts of videos wait, and how many may work on one."""

from jobs.schemas import JobKind
from jobs.store.jobs import JobStore
from jobs.store.records import Found, Refusal
from tests.jobs.conftest import RESULT
from tests.jobs.store.test_segments import begun, done, next_job, take, video


def test_no_more_workers_than_are_set_work_on_one_video(store: JobStore) -> None:
    job_id = video(store)
    plan = begun(store, job_id, 3, most_workers=2)
    first = take(store, job_id, "host:1")
    assert store.claims.claim(job_id, holder="host:2") is Refusal.BUSY  # who plans and who renders are two
    own = take(store, job_id, "planner:1")
    assert next_job(store) is None
    assert done(store, own) == 0
    assert store.segments.planned(plan, frames=50, found=Found()).messages == 1
    assert next_job(store) == job_id
    assert take(store, job_id, "host:2").segment == 2
    assert done(store, first) == 0


def test_owners_take_turns_by_segments(store: JobStore) -> None:
    long = video(store, "busy")
    begun(store, long, 20)
    later, other = video(store, "busy"), video(store, "modest")
    served = []
    for _ in range(6):
        job_id = next_job(store)
        assert job_id is not None
        claim = take(store, job_id)
        served.append(job_id)
        if job_id == long:
            done(store, claim)
        else:
            store.claims.succeed(claim, RESULT, key="k")
        if job_id == other and len(served) < 4:
            other = video(store, "modest")
    names = ["modest" if job_id not in (long, later) else "busy" for job_id in served]
    assert names in (
        ["busy", "modest"] * 3,
        ["modest", "busy"] * 3,
        ["busy", "modest", "busy", "modest", "busy", "busy"],
    )
    assert later not in served  # what was begun goes on before its owner's next


def test_turns_that_nobody_else_wanted_are_not_held_against_their_owner(store: JobStore) -> None:
    long = video(store, "busy")
    plan = begun(store, long, 30)
    waiting = video(store, "busy")
    for _ in range(30):
        assert next_job(store) == long
        done(store, take(store, long))
    store.segments.planned(plan, frames=1000, found=Found())
    names = {long: "busy", waiting: "busy", video(store, "busy"): "busy"}
    names |= {video(store, "modest"): "modest" for _ in range(4)}
    served = []
    while (job_id := next_job(store)) is not None:
        store.claims.succeed(take(store, job_id), RESULT, key="k")
        served.append(names[job_id])
    assert served.index("modest") < 3
    assert served[:6].count("busy") == 3


def test_segments_without_messages_are_due_for_some(store: JobStore) -> None:
    job_id, waiting = video(store), video(store)
    begun(store, job_id, 3)

    def due(messages: int) -> list[str]:
        return store.upkeep.due_for_resend(JobKind.VIDEO, messages=messages, age_s=0)

    assert due(4) == []
    assert due(3) == [job_id]
    assert due(0) == [job_id] * 3 + [waiting]
    assert store.turns.parts_waiting() == 3
    store.delete(waiting)
    begun(store, video(store), 9, most_workers=2)
    assert due(5) == []
