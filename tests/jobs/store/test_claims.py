"""Workers' holds on jobs: one has it, and the others write nothing."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis.connection import AbstractConnection

from jobs.files.keys import new_id
from jobs.problems import Problem, ProblemType
from jobs.schemas import JobKind, JobStatus, Progress
from jobs.store import names
from jobs.store.held import ClaimLostError
from jobs.store.jobs import JobStore
from jobs.store.records import Claim, Refusal
from tests.jobs.conftest import RESULT, SPEC, claim, create, read


def test_a_second_copy_steps_back(store: JobStore) -> None:
    job_id = create(store)
    taken = claim(store, job_id)
    assert store.claims.claim(job_id, holder="host:2") is Refusal.BUSY
    store.claims.succeed(taken, RESULT, key="k")
    assert store.claims.claim(job_id, holder="host:2") is Refusal.FINISHED
    assert store.claims.claim(new_id(), holder="host:2") is Refusal.UNKNOWN


def test_of_many_claims_at_once_one_wins(store: JobStore) -> None:
    job_id = create(store)
    barrier = threading.Barrier(8)
    outcomes: list[Claim | Refusal] = []

    def compete(number: int) -> None:
        barrier.wait()
        outcomes.append(store.claims.claim(job_id, holder=f"host:{number}"))

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, Claim) for outcome in outcomes) == 1
    assert outcomes.count(Refusal.BUSY) == 7


def test_a_holder_that_lost_its_lock_can_write_nothing(store: JobStore) -> None:
    job_id = create(store)
    dead = claim(store, job_id)
    assert store.claims.break_lock(job_id, "host:1|before") is False
    assert store.claims.break_lock(job_id, dead.lock) is True
    alive = claim(store, job_id, holder="host:2")
    assert alive.attempt == 2
    writes: list[Callable[[], None]] = [
        lambda: store.claims.renew(dead),
        lambda: store.claims.progress(dead, Progress(stage="late")),
        lambda: store.claims.timings(dead, {"late": 1}),
        lambda: store.claims.succeed(dead, RESULT, key="k"),
        lambda: store.claims.fail(dead, Problem.of(ProblemType.INTERNAL, "late")),
        lambda: store.claims.cancel(dead),
        lambda: store.claims.give_back(dead),
    ]
    for write in writes:
        with pytest.raises(ClaimLostError, match="no longer held by host:1"):
            write()
    assert read(store, job_id).progress is None
    store.claims.succeed(alive, RESULT, key="k")


def test_a_poisonous_job_fails_at_the_third_delivery(store: JobStore) -> None:
    job_id = create(store)
    for attempt in (1, 2, 3):
        dead = claim(store, job_id)
        assert dead.attempt == attempt
        store.claims.break_lock(job_id, dead.lock)
    assert store.claims.claim(job_id, holder="host:1") is Refusal.EXHAUSTED
    failed = read(store, job_id)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert failed.error.type == ProblemType.WORKER_LOST.uri


def test_a_job_given_back_is_not_counted_and_keeps_its_place(store: JobStore) -> None:
    first, second = create(store), create(store)
    store.claims.give_back(claim(store, first))
    assert [read(store, job).queue_position for job in (first, second)] == [0, 1]
    assert claim(store, first).attempt == 1


def test_abandon_fails_a_live_job_once(store: JobStore) -> None:
    job_id = create(store)
    problem = Problem.of(ProblemType.TIMED_OUT, "took longer than 3000 s")
    assert store.claims.abandon(job_id, problem) is True
    assert store.claims.abandon(job_id, problem) is False
    assert read(store, job_id).error == problem


def test_what_a_later_version_asks_for_fails_at_once_and_clearly(store: JobStore) -> None:
    """Before all workers are renewed; front-ends can still tell of it, and sweep around it."""
    job_id, known = create(store), create(store)
    text = str(store._redis.get(names.Key.JOB + job_id + names.SPEC))
    store._redis.set(names.Key.JOB + job_id + names.SPEC, text.replace('"kind":', '"tune": "hum", "kind":', 1))
    assert read(store, job_id).spec is None
    assert store.claims.claim(job_id, holder="host:1") is Refusal.STRANGE
    record = read(store, job_id)
    assert (record.status, record.deliveries) == (JobStatus.FAILED, 1)
    assert record.error is not None
    assert "older" in record.error.detail
    assert store.claims.lock(job_id) is None
    assert claim(store, known).spec == SPEC


def test_a_worker_asks_redis_once_for_each_step(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the answers, and with every short job anew."""
    sent: list[str] = []
    send = AbstractConnection.send_packed_command

    def work(step: Callable[[str], None]) -> None:
        job_id = create(store)
        step("turn")
        store.turns.candidates(JobKind.IMAGE, "m")
        step("claim")
        taken = claim(store, job_id)
        step("timings")
        store.claims.timings(taken, {"decode": 0.5, "render": 1.5, "encode": 0.25})
        step("end")
        store.claims.succeed(taken, RESULT, key="k")

    def counted(connection: AbstractConnection, *given: Any, **keywords: Any) -> None:
        sent.append("sent")
        send(connection, *given, **keywords)

    work(lambda _: None)  # Redis knows the scripts from then on
    monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
    work(sent.append)
    assert sent[1:] == ["turn", "sent", "claim", "sent", "timings", "sent", "end", "sent"]
