"""What a worker does beside its live session: jobs that nobody else would take, and of videos no more than half."""

import contextlib
from collections.abc import Iterator

import pytest

from jobs.files.keys import new_id
from jobs.kinds import KINDS
from jobs.live import LiveOptions, LiveSpec
from jobs.motions import ControlsMotion, Keyframe, KeyframesMotion
from jobs.schemas import ImageSpec, InputFile, JobKind, JobSpec, VideoSpec
from jobs.store.jobs import JobStore
from jobs.store.records import Claim
from worker.queue.beside import Beside

FILE = InputFile(key="p/portrait", media_type="image/jpeg", bytes=3, sha256="0" * 64)
IMAGE = ImageSpec(portrait=FILE, motion=ControlsMotion(controls={"yaw": 3.0}))
VIDEO = VideoSpec(portrait=FILE, motion=KeyframesMotion(keyframes=[Keyframe(t=1, controls={"yaw": 3.0})]))


class Worker:
    """One with a live session, and the jobs that it did beside it."""

    def __init__(self, store: JobStore) -> None:
        self.done: list[str] = []
        self.set_aside = 0
        self._store = store
        self._beside = Beside(store, list(KINDS), claim=self._claim, work=self._work)

    def look(self) -> list[str]:
        """What it has done after one more look."""
        self._beside(self._aside)
        return self.done

    def _claim(self, kind: JobKind) -> Claim | None:
        for turn in self._store.turns.next(kind):
            claim = self._store.claims.claim(turn.job_id, holder="machine:1")
            if isinstance(claim, Claim):
                return claim
        return None

    def _work(self, claim: Claim, aside: contextlib.AbstractContextManager[None]) -> None:
        with aside:
            self.done.append(claim.job_id)

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        self.set_aside += 1
        yield


@pytest.fixture
def worker(store: JobStore) -> Worker:
    """It takes from all queues, and is in a session."""
    lives(store, "machine:1")
    store.live.open("one", LiveSpec(owner="me", portrait=FILE, options=LiveOptions()), most=9, share=9)
    return Worker(store)


def lives(store: JobStore, name: str, queues: str = "live,images,motions,videos") -> None:
    store.workers.beat(name, {"state": "ready", "queues": queues})


def queue(store: JobStore, spec: JobSpec) -> str:
    job_id = new_id()
    store.create(job_id, spec, owner="me")
    return job_id


def test_the_only_worker_does_what_waits_one_a_look(store: JobStore, worker: Worker) -> None:
    assert worker.look() == []
    jobs = [queue(store, IMAGE), queue(store, IMAGE)]
    assert worker.look() == jobs[:1]
    assert worker.look() == jobs
    assert worker.look() == jobs
    assert worker.set_aside == 2


def test_who_is_without_a_session_is_left_to_it(store: JobStore, worker: Worker) -> None:
    lives(store, "machine:2")
    queue(store, IMAGE)
    assert worker.look() == []


def test_a_worker_that_takes_no_such_job_helps_nobody(store: JobStore, worker: Worker) -> None:
    lives(store, "machine:2", "videos")
    image, video = queue(store, IMAGE), queue(store, VIDEO)
    assert worker.look() == [image]
    assert worker.look() == [image]  # the video is that one's
    assert video not in worker.done


def test_a_worker_that_has_no_sessions_is_without_one(store: JobStore, worker: Worker) -> None:
    lives(store, "machine:2", "images,motions,videos")
    queue(store, IMAGE)
    assert worker.look() == []
    store.workers.leave("machine:2")
    assert len(worker.look()) == 1


def test_a_video_leaves_as_much_time_as_it_took(
    store: JobStore, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("worker.queue.beside.time.monotonic", lambda: now)

    @contextlib.contextmanager
    def for_five_seconds() -> Iterator[None]:
        nonlocal now
        yield
        now += 5

    monkeypatch.setattr(worker, "_aside", for_five_seconds)
    videos = [queue(store, VIDEO), queue(store, VIDEO)]
    assert worker.look() == videos[:1]
    now += 4
    assert worker.look() == videos[:1]
    image = queue(store, IMAGE)
    assert worker.look() == [videos[0], image]
    now += 1
    assert worker.look() == [videos[0], image, videos[1]]
