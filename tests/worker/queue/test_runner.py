"""What a worker does beside its jobs."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from jobs.files.keys import new_id
from jobs.messages import waiting_messages
from jobs.motions import ControlsMotion
from jobs.schemas import ImageSpec, InputFile, JobKind, VideoSpec
from jobs.store.held import ClaimLostError
from jobs.store.jobs import JobStore
from jobs.store.records import Claim, Fragment, Shared, Turn
from service.running.embedded import free_port
from tests.support.processes import until
from worker.queue.runner import Runner
from worker.settings import WorkerSettings

PHOTO = InputFile(key="portrait.jpg", media_type="image/jpeg", bytes=1, sha256="0")
SPEC = VideoSpec(portrait=PHOTO, audio=InputFile(key="a.wav", media_type="audio/wav", bytes=1, sha256="1"))
SHARED = Shared(head="head.npz", init="init.mp4", fps="25", codecs="avc1.64001f, mp4a.40.2")
MACHINE = f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 - it has no path


@pytest.fixture
def redis_url(redis_url: str) -> str:
    """A database of our own: no other test's worker shall take what is freed here."""
    return f"{redis_url.removesuffix('/0')}/3"


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
    with contextlib.closing(JobStore.connect(redis_url)) as store:
        yield store


def test_what_processes_of_this_machine_had_that_died_is_free_at_the_next_beat(
    store: JobStore, redis_url: str, tmp_path: Path
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    job_id, whole = new_id(), new_id()
    holders = [
        f"elsewhere/1:{dead.pid}",
        f"{MACHINE}:{os.getppid()}",
        f"{MACHINE}:{dead.pid}",
        f"{MACHINE}:{os.getpid()}",
    ]
    for each in (job_id, whole):
        store.create(each, SPEC, owner="tests")
    plan = store.claims.claim(job_id, holder=holders[0])
    assert isinstance(plan, Claim)
    store.segments.begin(plan, SHARED, frames=None, most_workers=None)
    for index, holder in enumerate(holders):
        store.segments.open(plan, index, f"plan-{index}.npz")
        assert isinstance(store.claims.claim(job_id, holder=holder), Claim)
    assert isinstance(store.claims.claim(whole, holder=f"{MACHINE}:{dead.pid}"), Claim)
    for holder in holders:
        store.workers.beat(holder, {})
    runner = Runner(WorkerSettings(redis_url=redis_url, data_dir=tmp_path, live_s=1))
    runner.heartbeat.start()
    try:
        until(lambda: store.claims.lock(whole) is None and store.turns.parts_waiting() == 2, "nothing is freed")
        assert sorted(store.workers.names()) == sorted(set(holders) - {holders[2]})  # nor does it count
    finally:
        runner.heartbeat.stop()
    assert {turn.part for turn in store.turns.taken() if turn.job_id == job_id} == {"", "0", "1"}
    assert store.turns.going() == [Turn(job_id)]
    with Redis.from_url(redis_url) as redis:
        assert waiting_messages(redis, JobKind.VIDEO) == 2
    assert store.upkeep.recover_orphans() == [(whole, JobKind.VIDEO)]


def test_a_plan_goes_on_in_time_though_images_come_all_the_while(
    store: JobStore, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its task would come to its limit, and with it whichever image it was at."""
    monkeypatch.setattr("worker.queue.runner.ASIDE_S", 0.1)
    planned = new_id()
    store.create(planned, SPEC, owner="tests")
    plan = store.claims.claim(planned, holder="test:1")
    assert isinstance(plan, Claim)
    images = [new_id() for _ in range(100)]
    for image in images:
        gone = PHOTO.model_copy(update={"key": f"{image}/portrait.jpg"})
        spec = ImageSpec(portrait=gone, motion=ControlsMotion(controls={"yaw": 1}))
        store.create(image, spec, owner="tests")
    runner = Runner(WorkerSettings(redis_url=redis_url, data_dir=tmp_path))
    runner._began = time.monotonic()
    runner._pause(plan)
    assert 0 < store.turns.queue_lengths()[JobKind.IMAGE] < len(images)


def test_a_plan_of_which_nothing_waits_is_not_asked_for_it_at_each_step(
    store: JobStore, redis_url: str, tmp_path: Path
) -> None:
    """A driving video has many steps, and each would be in the log."""
    job_id = new_id()
    store.create(job_id, SPEC, owner="tests")
    plan = store.claims.claim(job_id, holder="test:1")
    assert isinstance(plan, Claim)
    store.segments.begin(plan, SHARED, frames=None, most_workers=1)
    runner = Runner(WorkerSettings(redis_url=redis_url, data_dir=tmp_path, workers_per_job=1))
    runner._began = time.monotonic()
    with capture_logs() as logs:
        runner._pause(plan)
    assert logs == []


def test_whose_claim_is_lost_hears_that_and_not_that_files_are_away(
    store: JobStore, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    job_id = new_id()
    store.create(job_id, SPEC, owner="tests")
    plan = store.claims.claim(job_id, holder="test:1")
    assert isinstance(plan, Claim)
    store.segments.begin(plan, SHARED, frames=None, most_workers=None)
    store.segments.open(plan, 0, "plan-0.npz")
    segment = store.claims.claim(job_id, holder="test:1")
    assert isinstance(segment, Claim)
    store.delete(job_id)
    nowhere = f"http://127.0.0.1:{free_port()}"
    away = WorkerSettings(
        redis_url=redis_url, data_dir=tmp_path, s3_bucket="videos", s3_region="eu-central-1", s3_endpoint_url=nowhere
    )
    runner = Runner(away)
    with pytest.raises(ClaimLostError):
        runner._videos.done(segment, Fragment(f"{job_id}/segment-0.m4s", 1, 12, SHARED))
