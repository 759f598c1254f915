"""A worker gets new weights while a video is made: it is of one look in the end, and plays all the while."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from jobs.files.folder import FolderArtifacts
from jobs.files.keys import new_id
from jobs.motions import Keyframe, KeyframesMotion
from jobs.schemas import InputFile, JobKind, JobStatus, VideoOptions, VideoSpec
from jobs.store.jobs import JobStore
from jobs.store.names import Mixed
from model.arrays import Pixels
from tests.support.films import pictures_of
from tests.support.tiny_weights import write_tiny_weights
from worker.queue.runner import Runner
from worker.settings import WorkerSettings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("weights")]

SEGMENTS = [12, 24, 48, 6]


class Service:
    """A store, and one worker after another in this process."""

    def __init__(self, redis_url: str, folder: Path, portrait: Path) -> None:
        with Redis.from_url(redis_url) as redis:
            redis.flushdb()
        self.store = JobStore.connect(redis_url)
        self._redis_url, self._folder, self._portrait = redis_url, folder, portrait
        self.artifacts = FolderArtifacts(folder / "artifacts")

    @contextlib.contextmanager
    def worker(self, weights: str) -> Iterator[Runner]:
        """One with tiny weights of its own; `weights` names them."""
        folder = self._folder / weights
        if not folder.exists():
            folder.mkdir()
            write_tiny_weights(folder, seed=len(weights))
        runner = Runner(
            WorkerSettings(redis_url=self._redis_url, data_dir=self._folder, weights_dir=folder, engine="torch")
        )
        runner.heartbeat.start()
        try:
            yield runner
        finally:
            runner.heartbeat.stop()

    def submit(self) -> str:
        """A video of SEGMENTS."""
        job_id = new_id()
        self.artifacts.create_folder(job_id)
        kept = self.artifacts.put(job_id, "portrait.jpg", [self._portrait.read_bytes()])
        photo = InputFile(key=kept.key, media_type="image/jpeg", bytes=kept.bytes, sha256=kept.sha256)
        turns = [Keyframe(t=t, controls={"yaw": yaw}) for t, yaw in ((0.0, 0), ((sum(SEGMENTS) - 1) / 25, 15))]
        options = VideoOptions(paste_back=False, size=64)
        spec = VideoSpec(portrait=photo, motion=KeyframesMotion(keyframes=turns), options=options)
        self.store.create(job_id, spec, owner="tests")
        return job_id

    def work(self, runner: Runner, job_id: str) -> None:
        """Until the video is made."""
        for number in range(2 * len(SEGMENTS) + 2):
            if self.status(job_id) is JobStatus.SUCCEEDED:
                break
            runner.run(JobKind.VIDEO, f"token-{number}")
        assert self.status(job_id) is JobStatus.SUCCEEDED

    def status(self, job_id: str) -> JobStatus:
        record = self.store.get(job_id)
        assert record is not None
        return record.status

    def listed(self, job_id: str) -> list[int]:
        """Frames of the segments that the playlist has."""
        stream = self.store.segments.stream(job_id)
        return [] if stream is None else [segment.frames for segment in stream.segments]

    def pictures(self, job_id: str) -> Pixels:
        """Of the result (T, H, W, 3)."""
        record = self.store.get(job_id)
        assert record is not None
        assert record.result_key is not None
        return pictures_of(self.artifacts.path(record.result_key))

    def files(self, job_id: str) -> int:
        return len(list(self.artifacts.path(f"{job_id}/x").parent.iterdir()))


@pytest.fixture
def service(redis_url: str, tmp_path: Path, portrait: Path) -> Iterator[Service]:
    made = Service(f"{redis_url.removesuffix('/0')}/6", tmp_path, portrait)
    with contextlib.closing(made.store):
        yield made


def test_what_old_weights_rendered_is_rendered_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.queue.runner.ASIDE_S", 0)  # who plans does nothing besides
    job_id = service.submit()
    with service.worker("old") as old:
        for name in ("plan", "first", "second"):
            old.run(JobKind.VIDEO, name)
    assert service.listed(job_id) == SEGMENTS[:2]
    with service.worker("new-one") as new:
        for number, playable in enumerate((3, 4, 4, 4)):  # a playlist keeps what it has listed
            new.run(JobKind.VIDEO, f"new-{number}")
            assert service.listed(job_id) == SEGMENTS[:playable]
            assert service.status(job_id) is JobStatus.RUNNING
        service.work(new, job_id)
        alone = service.submit()
        service.work(new, alone)
    assert service.store.segments.mixed() == {Mixed.AGAIN: 1, Mixed.LEFT: 0}
    made = service.pictures(job_id)
    assert len(made) == sum(SEGMENTS)
    assert np.array_equal(made, service.pictures(alone))
    assert service.files(job_id) == service.files(alone)  # fragments by the old weights are gone


def test_a_plan_that_old_weights_began_is_made_anew(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = service.submit()
    with service.worker("old") as old, monkeypatch.context() as patch:
        rendered = old._videos.done

        def told_to_stop(*ended: object) -> None:
            rendered(*ended)  # type: ignore[arg-type]
            raise SystemExit

        patch.setattr(old._videos, "done", told_to_stop)
        with pytest.raises(SystemExit):
            old.run(JobKind.VIDEO, "plan")
    assert service.listed(job_id) == SEGMENTS[:1]
    assert service.store.claims.lock(job_id) is None
    with service.worker("new-one") as new:
        service.work(new, job_id)
        alone = service.submit()
        service.work(new, alone)
    assert np.array_equal(service.pictures(job_id), service.pictures(alone))
    assert service.store.segments.mixed() == {Mixed.AGAIN: 0, Mixed.LEFT: 0}
