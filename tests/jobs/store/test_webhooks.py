"""Messages of webhooks in the store: a job's start and its end are told apart from one another."""

import time
from datetime import UTC, datetime

import pytest

from jobs.files.keys import new_id
from jobs.schemas import JobStatus
from jobs.store import webhooks
from jobs.store.creation import WEBHOOK_BYTES, Retention, Terms
from jobs.store.jobs import JobStore
from jobs.store.names import Key
from jobs.store.webhooks import Message
from jobs.webhooks import Webhook, WebhookAttempt, WebhookEvent
from tests.jobs.conftest import RESULT, claim, create, read

URL = "https://example.org/"
ALL = Webhook(url=URL, events=tuple(WebhookEvent))
ATTEMPT = WebhookAttempt(
    event=WebhookEvent.STARTED,
    at=datetime(2026, 3, 1, tzinfo=UTC),
    attempt=1,
    outcome="delivered",
    status=204,
    error=None,
    seconds=0.1,
)
PENDING = ATTEMPT.model_copy(update={"outcome": "pending", "status": None, "error": "no answer came in time"})


def due(store: JobStore, lease_s: float = 30) -> list[Message]:
    return store.webhooks.due(10, lease_s=lease_s, owner_most=10, under_way={})


def test_a_start_is_due_once_and_only_where_it_is_wanted(store: JobStore) -> None:
    job = create(store, terms=Terms(webhook=ALL))
    other = create(store, terms=Terms(webhook=Webhook(url=f"{URL}job.started")))
    dead = claim(store, job)
    claim(store, other)
    assert due(store) == [Message(job, "me", start=True)]
    store.claims.break_lock(job, dead.lock)
    store.upkeep.recover_orphans()
    claim(store, job)
    assert due(store) == []


def test_each_message_has_attempts_of_its_own(store: JobStore) -> None:
    job = create(store, terms=Terms(webhook=ALL))
    held = claim(store, job)
    (start,) = due(store)
    store.webhooks.tried(start, PENDING, url=URL)
    store.claims.succeed(held, RESULT, key="k")
    assert due(store) == [Message(job, "me", start=True, attempts=1), Message(job, "me")]
    store.webhooks.tried(start, ATTEMPT, url=URL)
    state = read(store, job).webhook
    assert state is not None
    assert (state.status, state.attempts, state.deliveries) == ("pending", 0, (PENDING, ATTEMPT))
    assert store.counters().webhooks == {("delivered",): 1}
    store.webhooks.put_off(Message(job, "me"), after_s=0)
    assert due(store) == [Message(job, "me")]


def test_messages_of_the_version_before_go_on(store: JobStore) -> None:
    """It knew jobs by their ids alone, in the sorted set and in lists, and their ends alone."""
    listed, tried = (create(store, terms=Terms(webhook=Webhook(url=URL))) for _ in range(2))
    for job in (listed, tried):
        store.request_cancel(job)
    store._redis.zrem(Key.WEBHOOKS, listed)
    store._redis.rpush(Key.WEBHOOKS_DUE + "me", listed)
    store._redis.zadd(Key.WEBHOOKS_OWNERS, {"me": 0})
    store._redis.hset(Key.JOB + tried, "webhook_attempts", 3)
    assert due(store) == [Message(listed, "me"), Message(tried, "me", attempts=3)]
    store.webhooks.tried(Message(tried, "me", attempts=3), ATTEMPT, url=URL)
    state = read(store, tried).webhook
    assert state is not None
    assert (state.status, state.attempts) == ("delivered", 4)


def test_of_attempts_the_latest_are_kept(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "JOB_ATTEMPTS", 3)
    monkeypatch.setattr(webhooks, "OWNER_ATTEMPTS", 4)
    jobs = {owner: create(store, owner=owner, terms=Terms(webhook=ALL)) for owner in ("me", "another")}
    for number in range(1, 7):
        numbered = PENDING.model_copy(update={"attempt": number})
        store.webhooks.tried(Message(jobs["me"], "me"), numbered, url=URL, after_s=60)
    store.webhooks.tried(Message(jobs["another"], "another"), ATTEMPT, url=URL)
    state = read(store, jobs["me"]).webhook
    assert state is not None
    assert [each.attempt for each in state.deliveries] == [4, 5, 6]
    found = store.webhooks.deliveries("me", kept_s=60)
    assert [(each.job_id, each.url, each.attempt) for each in found] == [(jobs["me"], URL, n) for n in (6, 5, 4, 3)]
    assert [each.job_id for each in store.webhooks.deliveries("another", kept_s=60)] == [jobs["another"]]


def test_attempts_are_kept_as_long_as_jobs(store: JobStore) -> None:
    job = create(store, terms=Terms(webhook=ALL), retention=Retention(-1))
    store.claims.succeed(claim(store, job), RESULT, key="k")
    for number, message in enumerate(due(store)):
        store.webhooks.tried(message, ATTEMPT.model_copy(update={"attempt": number}), url=URL)
    assert len(store.webhooks.deliveries("me", kept_s=60)) == 2
    assert store.webhooks.deliveries("me", kept_s=-1) == []
    assert store.upkeep.expire_due() == [job]
    state = read(store, job).webhook
    assert state is not None
    assert state.deliveries == ()
    time.sleep(1.1)  # Redis keeps a key for whole seconds
    assert not store._redis.exists(Key.DELIVERIES + "me")


def test_a_job_stays_until_its_start_is_told_too(store: JobStore) -> None:
    job = create(store, terms=Terms(webhook=ALL), retention=Retention(canceled_s=-1))
    held = claim(store, job)
    store.claims.cancel(held)
    start, end = due(store)
    store.webhooks.tried(end, ATTEMPT, url=URL)
    assert store.upkeep.expire_due() == []
    assert read(store, job).status is JobStatus.CANCELED
    store.webhooks.tried(start, ATTEMPT, url=URL)
    store._redis.zadd(Key.EXPIRING, {job: 0})
    assert store.upkeep.expire_due() == [job]


def test_of_a_deleted_job_no_message_is_left(store: JobStore) -> None:
    job = create(store, terms=Terms(webhook=ALL))
    held = claim(store, job)
    (start,) = due(store, lease_s=0)
    store.claims.succeed(held, RESULT, key="k")
    store.delete(job)
    assert not store._redis.exists(Key.WEBHOOKS)
    store.webhooks.tried(start, PENDING, url=URL, after_s=60)
    assert not store._redis.exists(Key.WEBHOOKS, Key.DELIVERIES + "me", Key.JOB + job)


def test_attempts_count_as_what_an_owner_keeps(store: JobStore) -> None:
    create(store)
    plain = store.kept("me")["records"]
    job = create(store, terms=Terms(webhook=ALL))
    assert store.kept("me")["records"] - 2 * plain == WEBHOOK_BYTES + len(ALL.model_dump_json())
    longest = PENDING.model_copy(update={"error": "x" * 100, "seconds": 12.345, "event": WebhookEvent.SUCCEEDED})
    for number in range(30):
        store.webhooks.tried(Message(job, "me"), longest.model_copy(update={"attempt": number}), url=URL)
    assert len(str(store._redis.hget(Key.JOB + job, "webhook_log"))) <= WEBHOOK_BYTES


def test_a_message_is_noted_though_redis_is_full(store: JobStore) -> None:
    job = create(store, terms=Terms(webhook=ALL))
    claim(store, job)
    (start,) = due(store)
    store._redis.config_set("maxmemory", 1)
    try:
        store.webhooks.tried(start, ATTEMPT, url=URL)
    finally:
        store._redis.config_set("maxmemory", 0)
    assert due(store) == []
    assert read(store, job).webhook is not None


def test_what_is_of_no_job_is_dropped(store: JobStore) -> None:
    store._redis.zadd(Key.WEBHOOKS, {new_id(): 0, f"{new_id()}:started": 0})
    assert due(store) == []
    assert not store._redis.exists(Key.WEBHOOKS)
