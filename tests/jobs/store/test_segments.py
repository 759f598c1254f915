"""Videos that are cut into parts: each part is claimed by itself, and the job is made of them."""

from fractions import Fraction
from typing import cast

import pytest
from redis import Redis

from jobs.files.keys import new_id
from jobs.problems import Problem, ProblemType
from jobs.schemas import InputFile, JobKind, JobStatus, Progress, Result, VideoSpec
from jobs.store.claims import JobCanceledError
from jobs.store.held import ClaimLostError
from jobs.store.jobs import JobStore
from jobs.store.names import Key, events_key, lock_key, segments_key
from jobs.store.records import Claim, Found, Fragment, Refusal, Shared, StreamSegment, Turn
from tests.jobs.conftest import lapse, read

PHOTO = InputFile(key="portrait.jpg", media_type="image/jpeg", bytes=1, sha256="0")
SPEC = VideoSpec(portrait=PHOTO, audio=InputFile(key="a.wav", media_type="audio/wav", bytes=1, sha256="1"))
SHARED = Shared(head="head.npz", init="init.mp4", fps="25", codecs="avc1.64001f, mp4a.40.2")
MADE = Result(media_type="video/mp4", bytes=1000, sha256="abc", frames=100)


def video(store: JobStore, owner: str = "me", **keywords: object) -> str:
    job_id = new_id()
    store.create(job_id, SPEC, owner=owner, **keywords)
    return job_id


def take(store: JobStore, job_id: str, holder: str = "host:1", **keywords: object) -> Claim:
    taken = store.claims.claim(job_id, holder=holder, **keywords)  # type: ignore[arg-type]
    assert isinstance(taken, Claim), taken
    return taken


def begun(store: JobStore, job_id: str, segments: int, *, most_workers: int | None = None, **claim: object) -> Claim:
    plan = take(store, job_id, "planner:1", **claim)
    store.segments.begin(plan, SHARED, frames=None, most_workers=most_workers)
    for index in range(segments):
        store.segments.open(plan, index, f"plan-{index}.npz")
    return plan


def done(store: JobStore, claim: Claim, frames: int = 12) -> int:
    return store.segments.done(claim, Fragment(f"segment-{claim.part}.m4s", 10, frames, SHARED)).messages


def next_job(store: JobStore) -> str | None:
    return next((turn.job_id for turn in store.turns.next(JobKind.VIDEO)), None)


def test_a_video_from_its_plan_to_the_join(store: JobStore) -> None:
    job_id = video(store)
    plan = take(store, job_id, "planner:1")
    assert plan.part == ""
    assert store.segments.stream(job_id) is None
    assert store.segments.begin(plan, SHARED, frames=None, most_workers=None) == 0
    assert store.claims.claim(job_id, holder="host:1") is Refusal.BUSY
    assert store.segments.open(plan, 0, "plan-0.npz") is True
    first = take(store, job_id)
    assert first.segment == 0
    assert store.segments.plan_key(job_id, 0) == "plan-0.npz"
    assert store.segments.shared(job_id) == SHARED
    assert done(store, first) == 0
    stream = store.segments.stream(job_id)
    assert stream is not None
    assert (stream.fps, stream.init, stream.complete) == (Fraction(25), "init.mp4", False)
    assert stream.segments == (StreamSegment(12, "segment-0.m4s"),)
    store.segments.open(plan, 1, "plan-1.npz")
    assert store.segments.planned(plan, frames=13, found=Found(clamped=3)).messages == 0
    with pytest.raises(ClaimLostError):
        store.claims.renew(plan)
    last = take(store, job_id, "host:2")
    assert last.segment == 1
    store.claims.timings(last, {"render": 0.5})
    assert done(store, last, frames=1) == 1
    assert read(store, job_id).status is JobStatus.RUNNING
    assert read(store, job_id).progress == Progress(stage="render", done=13, total=13)
    complete = store.segments.stream(job_id)
    assert complete is not None
    assert complete.complete
    assert [segment.frames for segment in complete.segments] == [12, 1]
    join = take(store, job_id, "host:2")
    assert join.joins
    assert store.segments.found(job_id) == Found(clamped=3)
    store.claims.progress(join, Progress(stage="encode", done=8, total=13))
    assert read(store, job_id).progress == Progress(stage="encode", done=8, total=13)
    store.claims.succeed(join, MADE, key="k")
    ended = read(store, job_id)
    assert (ended.status, ended.timings) == (JobStatus.SUCCEEDED, {"render": 0.5})
    assert store.segments.stream(job_id) == complete
    assert store.kept("me")["files"] == 1000 + 2 * 10 + 2
    assert next_job(store) is None
    events = cast("list[tuple[str, dict[str, str]]]", store._redis.xrange(events_key(job_id)))
    assert [event["event"] for _, event in events].count("segment") == 2
    store.delete(job_id)
    assert not [key for key in store._redis.scan_iter() if job_id in key]


def test_progress_is_of_all_who_work_on_it(store: JobStore) -> None:
    job_id = video(store)
    plan = begun(store, job_id, 2)
    segments = [take(store, job_id, f"host:{number}") for number in range(2)]
    store.claims.progress(segments[0], Progress(stage="render", done=8))
    store.claims.progress(segments[1], Progress(stage="render", done=16))
    assert read(store, job_id).progress == Progress(stage="render", done=24)
    store.segments.planned(plan, frames=36, found=Found())
    done(store, segments[0], frames=12)
    assert read(store, job_id).progress == Progress(stage="render", done=28, total=36)


def test_what_can_be_played_has_no_gaps(store: JobStore) -> None:
    job_id = video(store)
    begun(store, job_id, 3)
    first, second, third = (take(store, job_id) for _ in range(3))
    done(store, third)
    done(store, second)
    assert store.segments.stream(job_id) is None
    done(store, first)
    stream = store.segments.stream(job_id)
    assert stream is not None
    assert [segment.key for segment in stream.segments] == [f"segment-{index}.m4s" for index in range(3)]


def test_a_segment_whose_worker_dies_is_taken_again_and_the_third_death_fails_the_job(store: JobStore) -> None:
    job_id = video(store)
    plan = begun(store, job_id, 2)
    for attempt in (1, 2, 3):
        lost = take(store, job_id)
        assert (lost.segment, lost.attempt) == (0, attempt)
        lapse(store, lost)
        assert store.upkeep.recover_orphans() == [(job_id, JobKind.VIDEO)]
        assert store.upkeep.recover_orphans() == []
        with pytest.raises(ClaimLostError):
            done(store, lost)
    other = take(store, job_id, part="1")
    assert store.claims.claim(job_id, holder="host:1") is Refusal.EXHAUSTED
    failed = read(store, job_id)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert failed.error.type == ProblemType.WORKER_LOST.uri
    for claim in (plan, other):
        with pytest.raises(ClaimLostError):
            store.claims.renew(claim)
    assert store.segments.stream(job_id) is None
    assert store.kept("me")["files"] == 2  # what was sent


def test_a_plan_whose_worker_dies_is_taken_again_while_its_segments_are_rendered(store: JobStore) -> None:
    job_id = video(store)
    plan = begun(store, job_id, 2)
    first = take(store, job_id)
    lapse(store, plan)
    assert store.upkeep.recover_orphans() == [(job_id, JobKind.VIDEO)]
    assert read(store, job_id).status is JobStatus.RUNNING
    done(store, first)
    again = take(store, job_id)
    assert (again.part, again.attempt) == ("", 2)
    assert store.segments.begin(again, SHARED, frames=None, most_workers=None) == 2
    assert store.segments.open(again, 1, "late.npz") is False
    assert store.segments.plan_key(job_id, 1) == "plan-1.npz"  # what is planned stays as it is
    store.segments.open(again, 2, "plan-2.npz")
    store.segments.planned(again, frames=50, found=Found())
    assert [take(store, job_id).segment for _ in range(2)] == [1, 2]


def test_what_was_told_and_not_answered_is_told_again(store: JobStore) -> None:
    job_id = video(store)
    plan = begun(store, job_id, 2)
    assert store.segments.open(plan, 1, "plan-1.npz") is True
    first = take(store, job_id)
    assert store.segments.open(plan, 0, "plan-0.npz") is False
    done(store, first)
    assert done(store, first) == 1  # the file is not taken for one that nobody needs
    with pytest.raises(ClaimLostError):
        store.segments.done(first, Fragment("another.m4s", 10, 12, SHARED))
    store.segments.planned(plan, frames=24, found=Found())
    done(store, take(store, job_id))
    store.claims.succeed(take(store, job_id), MADE, key="result.mp4")
    assert done(store, first) == 0
    assert store.kept("me")["files"] == 2 + MADE.bytes + 20


def test_a_segment_given_back_is_not_counted(store: JobStore) -> None:
    job_id = video(store)
    begun(store, job_id, 1)
    store.claims.give_back(take(store, job_id))
    assert take(store, job_id).attempt == 1


def test_a_dead_holder_of_this_machine_gives_its_segment_free(store: JobStore) -> None:
    job_id = video(store)
    begun(store, job_id, 1)
    dead = take(store, job_id, token="m")
    assert dead.segment == 0
    assert store.turns.turn_of_token("m") == Turn(job_id, "0")
    assert store.claims.lock(job_id, "0") == dead.lock
    assert store.claims.break_lock(job_id, "host:1|before", part="0") is False
    assert store.claims.break_lock(job_id, dead.lock, part="0") is True
    assert take(store, job_id, "host:2", part="0").attempt == 2


def test_cancel_ends_the_job_when_nobody_works_on_it_else_by_the_first_who_hears(store: JobStore) -> None:
    idle, busy = video(store), video(store)
    for job_id in (idle, busy):
        store.segments.planned(begun(store, job_id, 2), frames=20, found=Found())
    assert store.request_cancel(idle) is None
    assert read(store, idle).status is JobStatus.CANCELED
    first, second = take(store, busy), take(store, busy)
    assert store.request_cancel(busy) is None
    assert store.claims.claim(busy, holder="host:3") is Refusal.BUSY
    with pytest.raises(JobCanceledError):
        store.claims.renew(first)
    store.claims.cancel(first)
    assert read(store, busy).status is JobStatus.CANCELED
    with pytest.raises(ClaimLostError):
        done(store, second)
    assert next_job(store) is None


def test_a_canceled_video_whose_workers_died_ends(store: JobStore) -> None:
    job_id = video(store)
    plan = begun(store, job_id, 1)
    segment = take(store, job_id)
    store.request_cancel(job_id)
    lapse(store, plan, segment)
    assert store.upkeep.recover_orphans() == []
    assert read(store, job_id).status is JobStatus.CANCELED


def test_of_a_video_that_a_front_end_of_the_version_before_deleted_nothing_stays(
    store: JobStore, redis_url: str
) -> None:
    job_id = video(store)
    begun(store, job_id, 2)
    take(store, job_id)
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        known = (Key.JOB + job_id, f"{Key.JOB}{job_id}:spec", events_key(job_id), lock_key(job_id))
        for key in known:
            redis.delete(key)
        assert len(list(redis.scan_iter(f"*{job_id}*"))) == 4
        assert store.upkeep.recover_orphans() == []
        assert list(redis.scan_iter(f"*{job_id}*")) == []
        assert redis.zcard(Key.CUT_JOBS) == 0
    assert store.claims.claim(job_id, holder="host:2") is Refusal.UNKNOWN
    assert next_job(store) is None


def test_what_was_made_is_told_though_redis_is_full(store: JobStore) -> None:
    planned, back, dead, poison = (video(store) for _ in range(4))
    plans = {job_id: begun(store, job_id, 1) for job_id in (planned, back, dead, poison)}
    segments = {job_id: take(store, job_id) for job_id in (planned, back, dead, poison)}
    for _ in range(2):
        store.claims.break_lock(poison, segments[poison].lock, part="0")
        segments[poison] = take(store, poison)
    store.claims.break_lock(poison, segments[poison].lock, part="0")
    lost = Problem.of(ProblemType.WORKER_LOST, "lost")
    store._redis.config_set("maxmemory", 1)
    try:
        assert done(store, segments[planned]) == 0
        assert store.segments.planned(plans[planned], frames=12, found=Found()).messages == 1
        store.claims.give_back(segments[back])
        assert store.claims.abandon(dead, lost)
        assert store.claims.claim(poison, holder="host:1") is Refusal.EXHAUSTED
    finally:
        store._redis.config_set("maxmemory", 0)
    assert take(store, planned).joins
    assert take(store, back).attempt == 1
    assert {read(store, job_id).status for job_id in (dead, poison)} == {JobStatus.FAILED}


def test_a_failed_segment_fails_the_job(store: JobStore) -> None:
    job_id = video(store)
    begun(store, job_id, 2)
    store.claims.fail(take(store, job_id), Problem.of(ProblemType.STORAGE_FULL, "no room"))
    assert read(store, job_id).status is JobStatus.FAILED
    assert next_job(store) is None
    assert store.turns.running_count() == 0


def test_what_is_set_aside_does_not_count_when_its_worker_dies(store: JobStore) -> None:
    job_id = video(store)
    plan = begun(store, job_id, 1)
    aside = store.claims.set_aside(plan)
    aside.__enter__()
    store.claims.break_lock(job_id, plan.lock)
    assert take(store, job_id, part="").attempt == 1
    with pytest.raises(ClaimLostError):
        aside.__exit__(None, None, None)
    kept = take(store, job_id, "host:2", part="0")
    with store.claims.set_aside(kept):
        pass
    store.claims.break_lock(job_id, kept.lock, part="0")
    assert take(store, job_id, part="0").attempt == 2


def test_what_is_set_aside_is_not_worked_on(store: JobStore) -> None:
    """Else one worker would seem to take twice as long as it does."""
    job_id = video(store)
    plan = begun(store, job_id, 1)
    segment = take(store, job_id, "planner:1")
    with store.claims.set_aside(plan):
        for field in store._redis.hkeys(segments_key(job_id)):
            if str(field).startswith("worked_since:"):
                store._redis.hincrbyfloat(segments_key(job_id), str(field), -100)
        done(store, segment)
    store.segments.planned(plan, frames=12, found=Found())
    store.claims.succeed(take(store, job_id), MADE, key="k")
    worked = store._redis.hget(Key.PACE, JobKind.VIDEO)
    assert worked is not None
    assert 100 <= float(str(worked)) < 150


def test_the_files_of_a_video_that_ended_are_looked_through(store: JobStore) -> None:
    """Whoever ended it may die before, and where nobody works on it nobody else does it."""
    canceled, failed, joined, deleted = (video(store) for _ in range(4))
    for job_id in (canceled, failed, joined, deleted):
        plan = begun(store, job_id, 1)
        done(store, take(store, job_id))
        store.segments.planned(plan, frames=12, found=Found())
    assert store.upkeep.untidy() == []
    store.request_cancel(canceled)
    store.claims.abandon(failed, Problem.of(ProblemType.WORKER_LOST, "lost"), part="join")
    store.claims.succeed(take(store, joined), MADE, key="result.mp4")
    store.request_cancel(deleted)
    store.delete(deleted)
    assert store.upkeep.untidy() == [canceled, failed, joined]
    inputs = ["portrait.jpg", "a.wav"]
    assert store.files(canceled) == store.files(failed) == inputs
    assert store.files(joined) == [*inputs, "init.mp4", "segment-0.m4s", "result.mp4"]
    assert store.files(deleted) is None
    store.upkeep.tidied(joined)
    assert store.upkeep.untidy() == [canceled, failed]
