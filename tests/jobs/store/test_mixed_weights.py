"""Videos whose segments are by several weights, since workers were renewed meanwhile."""

import pytest

from jobs.problems import Problem, ProblemType
from jobs.schemas import JobStatus, Progress
from jobs.store.held import ClaimLostError
from jobs.store.jobs import JobStore
from jobs.store.names import Mixed
from jobs.store.records import Claim, Followed, Found, Fragment, StreamSegment
from tests.jobs.conftest import read
from tests.jobs.store.test_segments import MADE, SHARED, begun, take, video


def tell(store: JobStore, **weights: str | None) -> None:
    """Let workers live that have these weights; one of None tells nothing, as those of the version before."""
    for name in store.workers.names():
        store.workers.leave(name)
    for name, given in weights.items():
        store.workers.beat(f"{name}:1", {"state": "ready"} if given is None else {"weights": given})


def planned(store: JobStore, segments: int) -> str:
    """A video of so many segments, of which none is rendered."""
    job_id = video(store)
    store.segments.planned(begun(store, job_id, segments), frames=12 * segments, found=Found())
    return job_id


def by(store: JobStore, job_id: str, worker: str, frames: int = 12) -> Followed:
    """The next segment, rendered by a worker."""
    return end(store, take(store, job_id, f"{worker}:1"), frames)


def end(store: JobStore, claim: Claim, frames: int = 12) -> Followed:
    return store.segments.done(claim, Fragment(f"{claim.part}-{claim.holder}.m4s", 10, frames, SHARED))


def fragments(store: JobStore, job_id: str) -> list[str]:
    stream = store.segments.stream(job_id)
    assert stream is not None
    return [segment.key for segment in stream.segments]


def test_segments_by_old_weights_are_rendered_again_and_play_until_then(store: JobStore) -> None:
    tell(store, planner="old", old="old", new="new")
    job_id = planned(store, 3)
    by(store, job_id, "old")
    by(store, job_id, "new")
    last = take(store, job_id, "new:1")
    tell(store, new="new")
    assert end(store, last) == Followed(1, Mixed.AGAIN)
    stream = store.segments.stream(job_id)
    assert stream is not None
    assert (len(stream.segments), stream.complete) == (3, True)
    assert read(store, job_id).progress == Progress(stage="render", done=24, total=36)
    again = take(store, job_id, "new:1")
    assert (again.part, again.attempt) == ("0", 1)
    assert end(store, again) == Followed(1)
    after = store.segments.stream(job_id)
    assert after is not None
    assert after.complete
    assert after.segments == (StreamSegment(12, "0-new:1.m4s"), *stream.segments[1:])
    assert read(store, job_id).progress == Progress(stage="render", done=36, total=36)
    store.claims.succeed(take(store, job_id, "new:1"), MADE, key="k")
    assert store.kept("me")["files"] == 2 + MADE.bytes + 30
    assert store.segments.mixed() == {Mixed.AGAIN: 1, Mixed.LEFT: 0}


def test_a_segment_is_rendered_again_as_often_as_weights_are_renewed(store: JobStore) -> None:
    tell(store, planner="a", a="a")
    job_id = planned(store, 2)
    by(store, job_id, "a")
    for worker in "bcdef":
        tell(store, **{worker: worker})
        assert by(store, job_id, worker) == Followed(1, Mixed.AGAIN)
    assert by(store, job_id, "f") == Followed(1)
    assert take(store, job_id, "f:1").joins


@pytest.mark.parametrize("other", ["old", None])
def test_nothing_is_rendered_again_while_workers_differ(store: JobStore, other: str | None) -> None:
    tell(store, planner="old", old="old", new="new")
    job_id = planned(store, 2)
    by(store, job_id, "old")
    tell(store, other=other, new="new")
    assert by(store, job_id, "new") == Followed(1, Mixed.LEFT)
    join = take(store, job_id, "new:1")
    assert join.joins
    store.claims.succeed(join, MADE, key="k")
    assert store.segments.mixed() == {Mixed.AGAIN: 0, Mixed.LEFT: 1}


def test_what_all_came_of_one_weights_is_left_though_workers_have_others_now(store: JobStore) -> None:
    tell(store, planner="old", old="old")
    job_id = planned(store, 2)
    by(store, job_id, "old")
    last = take(store, job_id, "old:1")
    tell(store, old="old", new="new")
    assert end(store, last) == Followed(1)
    assert take(store, job_id, "new:1").joins


def test_workers_of_the_version_before_tell_nothing_and_nothing_is_rendered_again(store: JobStore) -> None:
    tell(store, planner=None, old=None)
    job_id = planned(store, 2)
    by(store, job_id, "old")
    tell(store, new="new")
    assert by(store, job_id, "new") == Followed(1)


def test_a_plan_that_other_weights_make_again_begins_anew(store: JobStore) -> None:
    job_id = video(store)
    tell(store, planner="old", old="old", new="new")
    plan = begun(store, job_id, 3)
    by(store, job_id, "old")
    under_way = take(store, job_id, "old:1")
    store.claims.give_back(plan)
    anew = take(store, job_id, "new:1")
    assert anew.part == ""
    assert store.segments.begin(anew, SHARED, frames=None, most_workers=None) == 0
    assert store.segments.begin(anew, SHARED, frames=None, most_workers=None) == 0  # the answer was lost
    with pytest.raises(ClaimLostError):
        end(store, under_way)
    assert fragments(store, job_id) == ["0-old:1.m4s"]
    kept = store.kept("me")["records"]
    for index in range(3):
        assert store.segments.open(anew, index, f"anew-{index}.npz") is True
        assert store.segments.plan_key(job_id, index) == f"anew-{index}.npz"
    assert store.kept("me")["records"] == kept
    store.segments.planned(anew, frames=36, found=Found())
    for number in range(3):
        assert len(fragments(store, job_id)) == max(1, number)
        assert by(store, job_id, "new") == Followed(1 if number == 2 else 0)
    assert fragments(store, job_id) == [f"{index}-new:1.m4s" for index in range(3)]
    assert read(store, job_id).progress == Progress(stage="render", done=36, total=36)
    assert take(store, job_id, "new:1").joins


def test_a_plan_that_the_same_weights_make_again_goes_on(store: JobStore) -> None:
    job_id = video(store)
    tell(store, planner="old", other="old")
    store.claims.give_back(begun(store, job_id, 2))
    again = take(store, job_id, "other:1")
    assert store.segments.begin(again, SHARED, frames=None, most_workers=None) == 2


def test_what_is_rendered_again_may_be_canceled_and_fail(store: JobStore) -> None:
    ends = []
    for _ in range(2):
        tell(store, planner="old", old="old", new="new")
        job_id = planned(store, 2)
        by(store, job_id, "old")
        tell(store, new="new")
        assert by(store, job_id, "new").mixed is Mixed.AGAIN
        ends.append(job_id)
    canceled, failed = ends
    store.request_cancel(canceled)
    assert read(store, canceled).status is JobStatus.CANCELED
    store.claims.fail(take(store, failed, "new:1"), Problem.of(ProblemType.INTERNAL, "a fault"))
    assert read(store, failed).status is JobStatus.FAILED
    assert store.segments.stream(failed) is None
    assert store.kept("me")["files"] == 4
