"""The life of a job in a real Redis: made, canceled, ended, counted."""

import pytest
import redis

from jobs.files.keys import new_id
from jobs.messages import job_message
from jobs.problems import Problem, ProblemType
from jobs.schemas import JobKind, JobStatus, Progress
from jobs.store.claims import JobCanceledError
from jobs.store.counters import BUCKETS
from jobs.store.creation import (
    RECORD_BYTES,
    Allowance,
    KeyTakenError,
    NoRoomError,
    OwnerBoundError,
    QueueFullError,
    Remembered,
    ReservedError,
    ShareUsedError,
    Terms,
)
from jobs.store.jobs import JobStore
from jobs.store.names import Key
from jobs.store.records import Refusal
from tests.jobs.conftest import RESULT, SPEC, claim, create, read


def test_a_job_goes_from_queued_to_succeeded(store: JobStore) -> None:
    job_id = create(store)
    queued = read(store, job_id)
    assert (queued.status, queued.queue_position, queued.started_at) == (JobStatus.QUEUED, 0, None)
    taken = claim(store, job_id)
    assert taken.spec == SPEC
    assert taken.attempt == 1
    store.claims.progress(taken, Progress(stage="render", done=1, total=2))
    store.claims.timings(taken, {"load": 1, "decode": 1, "crop": 1, "render": 0.25})
    store.claims.timings(taken, {"render": 0.5})
    running = read(store, job_id)
    assert (running.status, running.queue_position) == (JobStatus.RUNNING, None)
    assert running.progress == Progress(stage="render", done=1, total=2)
    store.claims.succeed(taken, RESULT, key=f"{job_id}/result.png")
    done = read(store, job_id)
    assert (done.status, done.result, done.result_key) == (JobStatus.SUCCEEDED, RESULT, f"{job_id}/result.png")
    assert list(done.timings.items()) == [("load", 1), ("decode", 1), ("crop", 1), ("render", 0.75)]
    assert done.created_at <= (done.started_at or done.created_at) <= (done.finished_at or done.created_at)
    assert store.claims.lock(job_id) is None
    assert store.turns.running_count() == 0


def test_a_full_queue_refuses(store: JobStore) -> None:
    create(store, allowance=Allowance(queue=1))
    refused = new_id()
    with pytest.raises(QueueFullError, match="1 image jobs are waiting"):
        store.create(refused, SPEC, owner="me", allowance=Allowance(queue=1))
    assert store.get(refused) is None


def test_an_owner_has_a_share_of_the_queue(store: JobStore) -> None:
    first = create(store, allowance=Allowance(share=2))
    create(store, allowance=Allowance(share=2))
    with pytest.raises(ShareUsedError, match="2 image jobs of this key's owner are waiting"):
        create(store, allowance=Allowance(share=2))
    assert own_waiting(store) == 2
    create(store, owner="another", allowance=Allowance(share=2))
    taken = claim(store, first)
    assert own_waiting(store) == 1
    store.claims.give_back(taken)
    assert own_waiting(store) == 2
    store.request_cancel(first)
    create(store, allowance=Allowance(share=2))


def test_the_last_places_are_for_owners_of_whom_none_waits(store: JobStore) -> None:
    create(store, allowance=Allowance(queue=3, reserved=1))
    create(store, allowance=Allowance(queue=3, reserved=1))
    with pytest.raises(ReservedError, match="last 1 places"):
        create(store, allowance=Allowance(queue=3, reserved=1))
    create(store, owner="another", allowance=Allowance(queue=3, reserved=1))


def test_who_asks_is_refused_in_the_words_of_who_makes_a_job(store: JobStore) -> None:
    create(store)
    kept = store.kept("me")
    for allowance in (
        Allowance(queue=1),
        Allowance(share=1),
        Allowance(queue=3, reserved=2),
        Allowance(file_bytes=kept["files"]),
        Allowance(record_bytes=kept["records"]),
    ):
        with pytest.raises(NoRoomError) as asked:
            allowance.check(JobKind.IMAGE, store.do(store.creation.asking(JobKind.IMAGE, "me")))
        with pytest.raises(NoRoomError) as made:
            create(store, allowance=allowance)
        assert (type(asked.value), str(asked.value)) == (type(made.value), str(made.value))
        assert (asked.value.got, asked.value.allowed) == (made.value.got, made.value.allowed)


def test_what_is_kept_is_counted_until_it_goes(store: JobStore) -> None:
    size = SPEC.portrait.bytes
    good, bad, gone, waiting = (create(store) for _ in range(4))
    assert store.kept("me")["files"] == 4 * size
    record = store.kept("me")["records"] // 4
    assert RECORD_BYTES < record < RECORD_BYTES + 1000
    taken = claim(store, good)
    store.claims.give_back(taken)
    store.claims.succeed(claim(store, good), RESULT, key="k")
    store.claims.fail(claim(store, bad), Problem.of(ProblemType.NO_FACE, "no face"))
    store.request_cancel(gone)
    assert store.kept("me") == {"files": 4 * size + RESULT.bytes, "records": 4 * record}
    store.delete(bad)
    store.delete(bad)
    assert store.kept_by_all() == {"files": 3 * size + RESULT.bytes, "records": 3 * record}
    create(store, owner="another")
    assert store.kept("another") == {"files": size, "records": record}
    assert store.kept_by_one() == store.kept("me")
    with pytest.raises(OwnerBoundError, match=f"^{3 * size + RESULT.bytes} bytes of files are kept"):
        create(store, allowance=Allowance(file_bytes=3 * size + RESULT.bytes))
    with pytest.raises(OwnerBoundError, match=f"bytes of records are kept .* no more than {4 * record - 1} may be"):
        create(store, allowance=Allowance(record_bytes=4 * record - 1))
    create(store, allowance=Allowance(file_bytes=4 * size + RESULT.bytes, record_bytes=4 * record))
    store.delete(waiting)
    assert store.kept("me") == {"files": 3 * size + RESULT.bytes, "records": 3 * record}


def test_the_problem_of_a_missed_deadline_lies_with_the_job_that_has_one(store: JobStore) -> None:
    job_id, free = create(store, terms=Terms(deadline_s=0.0)), create(store)
    assert [store._redis.hexists(Key.JOB + each, "late") for each in (job_id, free)] == [True, False]
    assert store.claims.claim(job_id, holder="host:1") is Refusal.FINISHED
    failed = read(store, job_id)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert (failed.error.type, failed.error.got) == (ProblemType.DEADLINE_MISSED.uri, 0.0)
    assert claim(store, free).attempt == 1


def test_cancel_of_a_waiting_job_is_immediate(store: JobStore) -> None:
    job_id = create(store)
    assert store.request_cancel(job_id) is None
    assert read(store, job_id).status is JobStatus.CANCELED
    assert store.request_cancel(job_id) is JobStatus.CANCELED
    assert store.claims.claim(job_id, holder="host:1") is Refusal.FINISHED
    with pytest.raises(KeyError):
        store.request_cancel(new_id())


def test_cancel_of_a_running_job_reaches_its_holder(store: JobStore) -> None:
    job_id = create(store)
    taken = claim(store, job_id)
    store.claims.progress(taken, Progress(stage="render"))
    assert store.request_cancel(job_id) is None
    assert read(store, job_id).cancel_requested
    with pytest.raises(JobCanceledError):
        store.claims.progress(taken, Progress(stage="render", done=1))
    store.claims.cancel(taken)
    assert read(store, job_id).status is JobStatus.CANCELED


def test_what_is_done_is_counted(store: JobStore) -> None:
    good, bad, gone = (create(store) for _ in range(3))
    taken = claim(store, good)
    store.claims.timings(taken, {"render": 0.3, "decode": 3000})
    store.claims.succeed(taken, RESULT.model_copy(update={"images": 25}), key="k", made={"images": 25})
    store.claims.fail(claim(store, bad), Problem.of(ProblemType.NO_FACE, "no face"))
    store.request_cancel(gone)
    counters = store.counters()
    assert counters.jobs == {("image", "succeeded"): 1, ("image", "failed"): 1, ("image", "canceled"): 1}
    assert counters.errors == {("image", ProblemType.NO_FACE.uri): 1}
    assert counters.made == {("images",): 25}
    assert sum(counters.histograms["wait"]["image",].buckets) == 2
    assert counters.histograms["run"]["image",].sum < 5
    render, decode = (counters.histograms["stage"]["image", stage] for stage in ("render", "decode"))
    assert (render.buckets[BUCKETS.index(0.5)], render.sum) == (1, 0.3)
    assert (decode.buckets[-1], decode.sum) == (1, 3000)


def own_waiting(store: JobStore) -> int:
    return store.do(store.creation.asking(JobKind.IMAGE, "me")).own


@pytest.mark.parametrize("whose", ["nobody's", "its own", "another's", "another's, which is answered"])
def test_a_job_is_not_made_where_its_key_went_to_another_request(store: JobStore, redis_url: str, whose: str) -> None:
    job_id, message = new_id(), job_message(new_id(), JobKind.IMAGE)
    remembered = Remembered("pirenderer:idempotency:x", '{"job_id": "mine"}', 60)
    held = {"its own": job_id, "another's": new_id(), "another's, which is answered": '{"job_id": "other"}'}.get(whose)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        if held:
            client.set(remembered.key, held)
        if whose.startswith("another's"):
            with pytest.raises(KeyTakenError):
                store.create(job_id, SPEC, owner="me", message=message, terms=Terms(remembered=remembered))
            assert client.get(remembered.key) == held
            assert store.get(job_id) is None
            assert client.llen(message.queue) == 0
        else:
            store.create(job_id, SPEC, owner="me", message=message, terms=Terms(remembered=remembered))
            assert client.get(remembered.key) == remembered.text
            assert 0 < client.ttl(remembered.key) <= remembered.seconds
            assert client.llen(message.queue) == 1
