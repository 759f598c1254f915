"""The life of jobs in a real Redis."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from service.jobs.artifacts import new_job_id
from service.jobs.events import JobEvents
from service.jobs.figures import BUCKETS
from service.jobs.lease import Lease
from service.jobs.motions import ControlsMotion
from service.jobs.problems import Problem, ProblemType
from service.jobs.records import Claim, JobRecord, Refusal
from service.jobs.schemas import ImageSpec, InputFile, JobKind, JobStatus, Progress, Result
from service.jobs.store import ClaimLostError, JobCanceledError, JobStore, QueueFullError, ShareUsedError

SPEC = ImageSpec(
    portrait=InputFile(key="portrait.jpg", media_type="image/jpeg", bytes=1, sha256="0"),
    motion=ControlsMotion(controls={"yaw": 20.0}),
)
RESULT = Result(media_type="image/png", bytes=3, sha256="abc", width=256, height=256)


@pytest.fixture
def redis_url(redis_url: str) -> str:
    """A database of our own: no server's housekeeping shall do what is tested here."""
    return f"{redis_url.removesuffix('/0')}/1"


def create(store: JobStore, **keywords: object) -> str:
    job_id = new_job_id()
    store.create(job_id, SPEC, **{"owner": "me", **keywords})  # type: ignore[arg-type]
    return job_id


def read(store: JobStore, job_id: str) -> JobRecord:
    record = store.get(job_id)
    assert record is not None
    return record


def claim(store: JobStore, job_id: str, holder: str = "host:1", lease_s: float = 30) -> Claim:
    taken = store.claim(job_id, holder=holder, lease_s=lease_s)
    assert isinstance(taken, Claim)
    return taken


def test_a_job_goes_from_queued_to_succeeded(store: JobStore) -> None:
    job_id = create(store)
    queued = read(store, job_id)
    assert (queued.status, queued.queue_position, queued.started_at) == (JobStatus.QUEUED, 0, None)
    taken = claim(store, job_id)
    assert taken.spec == SPEC
    assert taken.attempt == 1
    store.progress(taken, Progress(stage="render", done=1, total=2))
    for stage in ("load", "decode", "crop"):
        store.timing(taken, stage, 1)
    store.timing(taken, "render", 0.25)
    store.timing(taken, "render", 0.5)
    running = read(store, job_id)
    assert (running.status, running.queue_position) == (JobStatus.RUNNING, None)
    assert running.progress == Progress(stage="render", done=1, total=2)
    store.succeed(taken, RESULT, key=f"{job_id}/result.png")
    done = read(store, job_id)
    assert (done.status, done.result, done.result_key) == (JobStatus.SUCCEEDED, RESULT, f"{job_id}/result.png")
    assert list(done.timings.items()) == [("load", 1), ("decode", 1), ("crop", 1), ("render", 0.75)]
    assert done.created_at <= (done.started_at or done.created_at) <= (done.finished_at or done.created_at)
    assert store.lock_holder(job_id) is None
    assert store.running_count() == 0


def test_queue_position_counts_the_jobs_of_the_kind_ahead(store: JobStore) -> None:
    first, second, third = (create(store) for _ in range(3))
    assert [read(store, job).queue_position for job in (first, second, third)] == [0, 1, 2]
    claim(store, first)
    assert [read(store, job).queue_position for job in (first, second, third)] == [None, 0, 1]
    assert store.queue_lengths() == {JobKind.IMAGE: 2, JobKind.VIDEO: 0, JobKind.MOTION: 0}


def test_owners_take_turns(store: JobStore) -> None:
    many = [create(store, owner="busy") for _ in range(5)]
    one = create(store, owner="modest")
    assert read(store, one).queue_position == 1
    two = create(store, owner="modest")
    served: list[str] = []
    while turn := next(store.turns(JobKind.IMAGE, ""), None):
        served.append(turn)
        store.succeed(claim(store, turn), RESULT, key="k")
        if len(served) == 4:  # who comes late stands beside who is first, not behind everybody
            late = create(store, owner="late")
            assert read(store, late).queue_position == 0
    assert served == [many[0], one, many[1], two, late, *many[2:]]


def test_who_asks_for_one_after_the_other_does_not_starve_the_rest(store: JobStore) -> None:
    waiting = [create(store, owner="busy") for _ in range(3)]
    served: list[str] = []
    hasty = create(store, owner="hasty")
    while len(served) < 6:
        turn = next(store.turns(JobKind.IMAGE, ""))
        taken = claim(store, turn)
        if turn == hasty:  # the next one is there before a worker is free again
            hasty = create(store, owner="hasty")
        served.append("busy" if turn in waiting else "hasty")
        store.succeed(taken, RESULT, key="k")
    assert served.count("busy") == 3


def test_a_job_given_back_is_next_again(store: JobStore) -> None:
    first = create(store, owner="a")
    others = [create(store, owner=owner) for owner in "bcd"]
    taken = claim(store, first)
    for other in others[:2]:
        store.succeed(claim(store, other), RESULT, key="k")
    late = create(store, owner="e")
    store.give_back(taken)
    assert next(store.turns(JobKind.IMAGE, "")) == first
    assert read(store, late).queue_position == 2


def test_a_message_sent_again_calls_for_the_job_it_was_used_for(store: JobStore) -> None:
    first, second = create(store), create(store)
    taken = store.claim(first, holder="host:1", token="m")
    assert isinstance(taken, Claim)
    assert list(store.turns(JobKind.IMAGE, "m")) == [first, second]
    assert list(store.turns(JobKind.IMAGE, "other")) == [second]
    assert store.job_of_token("m") == first
    assert store.job_of_token("other") is None


def test_an_owner_has_a_share_of_the_queue(store: JobStore) -> None:
    first = create(store, share=2)
    create(store, share=2)
    with pytest.raises(ShareUsedError, match="2 image jobs of this key's owner are waiting"):
        create(store, share=2)
    assert store.waiting(JobKind.IMAGE, "me")[1] == 2
    create(store, owner="another", share=2)
    taken = claim(store, first)
    assert store.waiting(JobKind.IMAGE, "me")[1] == 1
    store.give_back(taken)
    assert store.waiting(JobKind.IMAGE, "me")[1] == 2
    store.request_cancel(first)
    create(store, share=2)


def test_nothing_of_the_queue_stays_when_it_is_empty(store: JobStore) -> None:
    for _ in range(3):
        create(store)
    while turn := next(store.turns(JobKind.IMAGE, ""), None):
        store.delete(turn)
    left = {key.removeprefix("pirenderer:") for key in store._redis.scan_iter()}
    assert left <= {"number"}


def test_the_wait_is_estimated_by_the_pace_of_late(store: JobStore) -> None:
    first = create(store)
    assert read(store, first).estimated_wait_s is None  # nothing is known yet
    taken = claim(store, first)
    time.sleep(0.4)
    store.succeed(taken, RESULT, key="k")
    second, third = create(store), create(store)
    assert read(store, third).estimated_wait_s is None  # nobody works
    store.beat("host:1", {"state": "ready"})
    assert read(store, second).estimated_wait_s == 0
    assert read(store, third).estimated_wait_s == pytest.approx(0.4, abs=0.2)
    store.beat("host:2", {"state": "ready"})
    assert read(store, third).estimated_wait_s == pytest.approx(0.2, abs=0.11)
    assert sorted(store.workers()) == ["host:1", "host:2"]
    store.leave("host:2")
    assert store.workers() == {"host:1": {"state": "ready"}}


def test_what_is_done_is_counted(store: JobStore) -> None:
    good, bad, gone = (create(store) for _ in range(3))
    taken = claim(store, good)
    store.timing(taken, "render", 0.3)
    store.timing(taken, "decode", 3000)
    store.succeed(taken, RESULT.model_copy(update={"images": 25}), key="k")
    store.fail(claim(store, bad), Problem.of(ProblemType.NO_FACE, "no face"))
    store.request_cancel(gone)
    figures = store.figures()
    assert figures.jobs == {("image", "succeeded"): 1, ("image", "failed"): 1, ("image", "canceled"): 1}
    assert figures.errors == {("image", ProblemType.NO_FACE.uri): 1}
    assert figures.made == {("images",): 25}
    assert sum(figures.spreads["wait"]["image",].buckets) == 2
    assert figures.spreads["run"]["image",].sum < 5
    render, decode = (figures.spreads["stage"]["image", stage] for stage in ("render", "decode"))
    assert (render.buckets[BUCKETS.index(0.5)], render.sum) == (1, 0.3)
    assert (decode.buckets[-1], decode.sum) == (1, 3000)


def test_a_full_queue_refuses(store: JobStore) -> None:
    create(store, queue_limit=1)
    refused = new_job_id()
    with pytest.raises(QueueFullError, match="1 image jobs are waiting"):
        store.create(refused, SPEC, owner="me", queue_limit=1)
    assert store.get(refused) is None


def test_a_second_copy_steps_back(store: JobStore) -> None:
    job_id = create(store)
    taken = claim(store, job_id)
    assert store.claim(job_id, holder="host:2") is Refusal.BUSY
    store.succeed(taken, RESULT, key="k")
    assert store.claim(job_id, holder="host:2") is Refusal.FINISHED
    assert store.claim(new_job_id(), holder="host:2") is Refusal.UNKNOWN


def test_of_many_claims_at_once_one_wins(store: JobStore) -> None:
    job_id = create(store)
    barrier = threading.Barrier(8)
    outcomes: list[Claim | Refusal] = []

    def compete(number: int) -> None:
        barrier.wait()
        outcomes.append(store.claim(job_id, holder=f"host:{number}"))

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
    assert store.break_lock(job_id, "host:9") is False
    assert store.break_lock(job_id, "host:1") is True
    alive = claim(store, job_id, holder="host:2")
    assert alive.attempt == 2
    writes: list[Callable[[], None]] = [
        lambda: store.renew(dead),
        lambda: store.progress(dead, Progress(stage="late")),
        lambda: store.timing(dead, "late", 1),
        lambda: store.succeed(dead, RESULT, key="k"),
        lambda: store.fail(dead, Problem.of(ProblemType.INTERNAL, "late")),
        lambda: store.cancel_claimed(dead),
        lambda: store.give_back(dead),
    ]
    for write in writes:
        with pytest.raises(ClaimLostError, match="no longer held by host:1"):
            write()
    assert read(store, job_id).progress is None
    store.succeed(alive, RESULT, key="k")


def test_a_poisonous_job_fails_at_the_third_delivery(store: JobStore) -> None:
    job_id = create(store)
    for attempt in (1, 2, 3):
        assert claim(store, job_id).attempt == attempt
        store.break_lock(job_id, "host:1")
    assert store.claim(job_id, holder="host:1") is Refusal.EXHAUSTED
    failed = read(store, job_id)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert failed.error.type == ProblemType.WORKER_LOST.uri


def test_a_job_given_back_is_not_counted_and_keeps_its_place(store: JobStore) -> None:
    first, second = create(store), create(store)
    store.give_back(claim(store, first))
    assert [read(store, job).queue_position for job in (first, second)] == [0, 1]
    assert claim(store, first).attempt == 1


def test_cancel_of_a_waiting_job_is_immediate(store: JobStore) -> None:
    job_id = create(store)
    assert store.request_cancel(job_id) is None
    assert read(store, job_id).status is JobStatus.CANCELED
    assert store.request_cancel(job_id) is JobStatus.CANCELED
    assert store.claim(job_id, holder="host:1") is Refusal.FINISHED
    with pytest.raises(KeyError):
        store.request_cancel(new_job_id())


def test_cancel_of_a_running_job_reaches_its_holder(store: JobStore) -> None:
    job_id = create(store)
    taken = claim(store, job_id)
    store.progress(taken, Progress(stage="render"))
    assert store.request_cancel(job_id) is None
    assert read(store, job_id).cancel_requested
    with pytest.raises(JobCanceledError):
        store.progress(taken, Progress(stage="render", done=1))
    store.cancel_claimed(taken)
    assert read(store, job_id).status is JobStatus.CANCELED


def test_an_orphan_is_queued_again_and_a_canceled_orphan_ends(store: JobStore) -> None:
    orphan, held, canceled = (create(store) for _ in range(3))
    claim(store, orphan, lease_s=0.05)
    claim(store, held)
    claim(store, canceled, lease_s=0.05)
    assert store.request_cancel(canceled) is None
    time.sleep(0.1)
    assert store.recover_orphans() == [(orphan, JobKind.IMAGE)]
    assert [read(store, job).status for job in (orphan, held, canceled)] == ["queued", "running", "canceled"]
    assert claim(store, orphan).attempt == 2


def test_a_job_whose_message_was_lost_is_due_for_another(store: JobStore) -> None:
    first, second, held = (create(store) for _ in range(3))
    claim(store, held)

    def due(age_s: float, messages: int) -> list[str]:
        return store.due_for_resend(JobKind.IMAGE, messages=messages, age_s=age_s)

    assert due(60, 1) == []
    time.sleep(0.1)
    assert due(0.1, 2) == []  # as many messages as jobs
    assert due(0.1, 1) == [first]
    assert due(0.1, 0) == [second]  # one front-end sends each, once
    assert due(0.1, 0) == []
    time.sleep(0.1)
    assert due(0.1, 0) == [first, second]


def test_a_lease_outlives_its_length_and_tells_of_cancellation(store: JobStore) -> None:
    job_id = create(store)
    taken = claim(store, job_id, lease_s=0.3)
    with Lease(store, taken) as lease:
        time.sleep(0.6)
        assert store.lock_holder(job_id) == "host:1"
        lease.check()
        store.request_cancel(job_id)
        time.sleep(0.3)
        with pytest.raises(JobCanceledError):
            lease.check()


def test_abandon_fails_a_live_job_once(store: JobStore) -> None:
    job_id = create(store)
    problem = Problem.of(ProblemType.TIMED_OUT, "took longer than 3000 s")
    assert store.abandon(job_id, problem) is True
    assert store.abandon(job_id, problem) is False
    assert read(store, job_id).error == problem


def test_expiry_leaves_a_tombstone(store: JobStore) -> None:
    kept, due = create(store), create(store, retention_s=0)
    for job in (kept, due):
        store.succeed(claim(store, job), RESULT, key="k")
    time.sleep(1.1)  # Redis compares whole seconds
    assert store.expire_due(tombstone_s=1) == [due]
    assert read(store, due).status is JobStatus.EXPIRED
    assert store.spec(due) is None
    assert store.expire_due() == []
    assert read(store, kept).status is JobStatus.SUCCEEDED
    time.sleep(2.1)
    store.expire_due()
    assert store.get(due) is None
    assert store._redis.zrange("pirenderer:owner:me", 0, -1) == [kept]
    assert not [key for key in store._redis.scan_iter() if due in key]


def test_a_deleted_job_is_unknown_everywhere(store: JobStore) -> None:
    job_id = create(store)
    taken = claim(store, job_id)
    assert store.delete(job_id) is True
    assert store.delete(job_id) is False
    assert store.get(job_id) is None
    assert store.page("me") == ([], None)
    with pytest.raises(ClaimLostError):
        store.progress(taken, Progress(stage="render"))
    assert store.recover_orphans() == []


def test_pages_are_newest_first_and_of_the_owner(store: JobStore) -> None:
    mine = [create(store) for _ in range(5)]
    create(store, owner="another")
    first, cursor = store.page("me", limit=2)
    second, cursor = store.page("me", limit=2, before=cursor)
    third, end = store.page("me", limit=2, before=cursor)
    assert [record.id for record in (*first, *second, *third)] == mine[::-1]
    assert end is None


def test_events_resume_after_an_id_and_end_with_the_job(store: JobStore, redis_url: str) -> None:
    job_id = create(store)
    taken = claim(store, job_id)
    store.progress(taken, Progress(stage="render", done=1, total=2))
    store.fail(taken, Problem.of(ProblemType.NO_FACE, "no face"))

    async def follow(after: str) -> list[tuple[str, str, str]]:
        events = JobEvents.connect(redis_url)
        try:
            return [
                (event.id, event.event, event.data)
                async for event in events.follow(job_id, after=after, heartbeat_s=5)
                if event is not None
            ]
        finally:
            await events.close()

    everything = asyncio.run(follow("0"))
    assert [event for _, event, _ in everything] == ["status", "status", "progress", "status"]
    assert everything[-1][2] == '{"status":"failed"}'
    assert asyncio.run(follow(everything[1][0])) == everything[2:]


def test_a_quiet_stream_beats_and_goes_on(store: JobStore, redis_url: str) -> None:
    job_id = create(store)

    async def follow() -> list[str | None]:
        events = JobEvents.connect(redis_url)
        seen: list[str | None] = []
        try:
            async for event in events.follow(job_id, heartbeat_s=5.5):  # longer than redis-py waits unless told
                seen.append(event.data if event is not None else None)
                if event is None:
                    store.request_cancel(job_id)
        finally:
            await events.close()
        return seen

    assert asyncio.run(follow()) == ['{"status":"queued"}', None, '{"status":"canceled"}']


def test_waiting_ends_with_the_job_or_the_time(store: JobStore, redis_url: str) -> None:
    job_id = create(store)

    async def wait(seconds: float) -> bool:
        events = JobEvents.connect(redis_url)
        try:
            return await events.wait(job_id, seconds)
        finally:
            await events.close()

    assert asyncio.run(wait(0.1)) is False
    worker = threading.Timer(0.2, lambda: store.succeed(claim(store, job_id), RESULT, key="k"))
    worker.start()
    assert asyncio.run(wait(10)) is True
    worker.join()
