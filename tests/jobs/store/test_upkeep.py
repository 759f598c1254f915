"""What is mended and cleared away."""

import time

import pytest
from redis.exceptions import OutOfMemoryError

from jobs.problems import Problem, ProblemType
from jobs.schemas import JobKind, JobStatus, Progress
from jobs.store import upkeep
from jobs.store.creation import RECORD_BYTES, Retention, Terms
from jobs.store.held import ClaimLostError
from jobs.store.jobs import JobStore
from jobs.store.names import events_key
from jobs.store.webhooks import Message
from jobs.webhooks import Webhook
from tests.jobs.conftest import RESULT, age, claim, create, lapse, read
from tests.support.processes import until


def test_an_orphan_is_queued_again_and_a_canceled_orphan_ends(store: JobStore) -> None:
    orphan, held, canceled = (create(store) for _ in range(3))
    claim(store, orphan, lease_s=0.05)
    claim(store, held)
    ended = claim(store, canceled)
    assert store.request_cancel(canceled) is None
    lapse(store, ended)
    until(lambda: store.claims.lock(orphan) is None, "its lease lasts")
    assert store.upkeep.recover_orphans() == [(orphan, JobKind.IMAGE)]
    assert [read(store, job).status for job in (orphan, held, canceled)] == ["queued", "running", "canceled"]
    assert claim(store, orphan).attempt == 2


def test_a_job_whose_message_was_lost_is_due_for_another(store: JobStore) -> None:
    first, second, held = (create(store) for _ in range(3))
    claim(store, held)

    def due(age_s: float, messages: int) -> list[str]:
        return store.upkeep.due_for_resend(JobKind.IMAGE, messages=messages, age_s=age_s)

    assert due(60, 1) == []
    for job in (first, second):
        age(store, job, "queued_at", 60)
    assert due(60, 2) == []  # as many messages as jobs
    assert due(60, 1) == [first]
    assert due(60, 0) == [second]  # one front-end sends each, once
    assert due(60, 0) == []
    for job in (first, second):
        age(store, job, "queued_at", 60)
    assert due(60, 0) == [first, second]


def test_a_long_queue_costs_upkeep_no_more_than_a_short_one(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "RESEND_AT_ONCE", 3)
    jobs = [create(store) for _ in range(20)]
    for messages in (20, 0):
        store._redis.config_resetstat()
        assert store.upkeep.due_for_resend(JobKind.IMAGE, messages=messages, age_s=60) == []
        calls = {name: each["calls"] for name, each in store._redis.info("commandstats").items()}
        assert calls["cmdstat_evalsha"] == 1
        assert calls.get("cmdstat_hget", 0) <= 3
    assert store.upkeep.due_for_resend(JobKind.IMAGE, messages=0, age_s=0) == jobs[:3]


def test_expiry_leaves_a_tombstone(store: JobStore) -> None:
    kept, due = create(store), create(store, retention=Retention(-1))
    for job in (kept, due):
        store.claims.succeed(claim(store, job), RESULT, key="k")
    time.sleep(1.1)  # Redis compares whole seconds
    assert store.upkeep.expire_due(tombstone_s=1) == [due]
    assert (read(store, due).status, read(store, due).spec) == (JobStatus.EXPIRED, None)
    assert store.upkeep.expire_due() == []
    assert read(store, kept).status is JobStatus.SUCCEEDED
    time.sleep(2.1)
    store.upkeep.expire_due()
    assert store.get(due) is None
    assert store._redis.zrange("pirenderer:owner:me", 0, -1) == [kept]
    assert not [key for key in store._redis.scan_iter() if due in key]


def test_a_canceled_job_expires_soon_and_is_counted_no_more(store: JobStore) -> None:
    canceled, failed = (create(store, retention=Retention(canceled_s=-1)) for _ in range(2))
    store.request_cancel(canceled)
    store.claims.fail(claim(store, failed), Problem.of(ProblemType.NO_FACE, "no face"))
    kept = store.kept("me")
    assert store.upkeep.expire_due() == [canceled]
    assert store.kept("me") == {what: size // 2 for what, size in kept.items()}


def test_a_canceled_job_stays_until_its_webhook_has_ended(store: JobStore) -> None:
    webhook = Webhook(url="https://example.org/")
    told, untold = (create(store, retention=Retention(canceled_s=-1), terms=Terms(webhook=webhook)) for _ in range(2))
    for job in (told, untold):
        store.request_cancel(job)
    store.webhooks.end(Message(told, "me"), "delivered")
    assert store.upkeep.expire_due() == [told]
    assert read(store, untold).status is JobStatus.CANCELED
    late = create(store, retention=Retention(-1, canceled_s=-1), terms=Terms(webhook=webhook))
    store.request_cancel(late)
    assert store.upkeep.expire_due() == [late]


def test_of_an_owner_the_latest_tombstones_stay(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MAX_TOMBSTONES", 2)
    at_once = Retention(-1)
    others = create(store, owner="another", retention=at_once)
    jobs = [create(store, retention=at_once) for _ in range(4)]
    for job in (others, *jobs):
        store.request_cancel(job)
    assert set(store.upkeep.expire_due()) == {others, *jobs}
    assert [store.get(job) is not None for job in (others, *jobs)] == [True, False, False, True, True]


def test_a_deleted_job_is_unknown_everywhere(store: JobStore) -> None:
    job_id = create(store)
    taken = claim(store, job_id)
    assert store.delete(job_id) is True
    assert store.delete(job_id) is False
    assert store.get(job_id) is None
    assert store.lookups.page("me") == ([], None)
    with pytest.raises(ClaimLostError):
        store.claims.progress(taken, Progress(stage="render"))
    assert store.upkeep.recover_orphans() == []


def test_jobs_end_and_go_though_redis_is_full(store: JobStore) -> None:
    made, waiting, wanted, lost = (create(store) for _ in range(4))
    due = create(store, retention=Retention(-1))
    store.claims.succeed(claim(store, due), RESULT, key="k")
    claims = {job: claim(store, job, lease_s=30 if job == made else 0.05) for job in (made, wanted, lost)}
    time.sleep(1.1)
    store._redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            create(store)
        store.claims.succeed(claims[made], RESULT, key="k")
        for job in (waiting, wanted):
            assert store.request_cancel(job) is None
        assert store.upkeep.recover_orphans() == [(lost, JobKind.IMAGE)]
        assert store.upkeep.expire_due() == [due]
        assert store.delete(made)
    finally:
        store._redis.config_set("maxmemory", 0)
    assert [read(store, job).status for job in (waiting, wanted, lost, due)] == [
        "canceled", "canceled", "queued", "expired",
    ]  # fmt: skip


def test_what_happened_is_not_kept_for_ever(store: JobStore) -> None:
    """Of a job that was long, Redis keeps no more than of others; of one that has expired next to nothing."""
    job = create(store, retention=Retention(-1))
    held = claim(store, job)
    for done in range(300):
        store.claims.progress(held, Progress(stage="render", done=done, total=300))
    store.claims.succeed(held, RESULT, key="k")
    events = events_key(job)
    assert store._redis.xlen(events) == 20
    used = store._redis.memory_usage(events)
    assert used is not None
    assert used < RECORD_BYTES
    time.sleep(1.1)
    assert store.upkeep.expire_due() == [job]
    left = [str(key) for key in store._redis.scan_iter(f"pirenderer:job:{job}*")]
    assert left == [f"pirenderer:job:{job}"]
    assert (store._redis.memory_usage(left[0], samples=0) or 0) < RECORD_BYTES / 3
