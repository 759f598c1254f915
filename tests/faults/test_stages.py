"""The process that works dies at a stage of a job, or loses Redis there: the job is done all the same, and once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.problems import ProblemType
from tests.support.processes import PORTRAIT, SWAY, TURN, Service, need_weights
from tests.support.redis_proxy import RedisProxy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, RedisProxy]]:
    """A service whose worker talks to Redis through a proxy that can kill it."""
    need_weights()
    folder: Path = tmp_path_factory.mktemp("stages")
    service = Service(folder)
    proxy = RedisProxy(service.redis_port)
    service.worker_port = proxy.port
    try:
        for name in ("redis", "api", "worker"):
            service.start(name)
        service.wait_for_workers()
        yield service, proxy
    finally:
        service.stop()
        proxy.close()


SHORT = SWAY.replace('"t": 1', '"t": 0.4')  # of one segment, which is not cut into parts: tests/faults/test_segments.py

# call, what of the form, bytes that say that the stage has begun (JSON within JSON), whether Redis still gets them,
# attempts needed
STAGES = {
    "find the face": ("images", {"motion": TURN}, rb"\"stage\":\"face\"", False, 2),
    "extract": ("motions", {}, rb"\"stage\":\"face\"", False, 2),
    "render and encode": ("videos", {"motion": SHORT}, rb"\"stage\":\"render\",\"done\":6", False, 2),
    "store": ("images", {"motion": TURN}, b"result_key", False, 2),
    "stored": ("images", {"motion": TURN}, b"result_key", True, 1),
}


def test_a_process_killed_at_any_stage(proxied: tuple[Service, RedisProxy]) -> None:
    service, proxy = proxied
    for name, (call, form, mark, after, attempts) in STAGES.items():
        fault = proxy.at(lambda _: service.kill_child(), mark, after=after)
        unseen = PORTRAIT.read_bytes() + name.encode()  # what follows a JPEG does not count, but no process knows it
        job_id = service.create(call, name, source=unseen, **form)
        (job,) = service.finished(job_id)
        assert fault.happened == 1, name
        service.check_done_once(job)
        assert service.deliveries(job_id) == attempts, name
    print(f"{len(STAGES)} jobs, {len(STAGES)} faults, 0 lost")  # noqa: T201


def test_a_job_that_kills_its_process_each_time_ends_failed_while_others_go_on(
    proxied: tuple[Service, RedisProxy],
) -> None:
    service, proxy = proxied
    fault = proxy.at(lambda _: service.kill_child(), rb"\"total\":11", times=9)  # only this one has as many frames
    poison = service.create("videos", "poison", motion=SHORT)
    others = [service.create("images", f"beside poison {number}", motion=TURN) for number in range(3)]
    failed, *succeeded = service.finished(poison, *others)
    assert fault.happened == 3
    assert failed["status"] == "failed"
    assert failed["error"]["type"].endswith(ProblemType.WORKER_LOST.uri)
    for job in succeeded:
        service.check_done_once(job)


def test_a_process_cut_off_from_redis(proxied: tuple[Service, RedisProxy]) -> None:
    """At a report, where it goes on, and at the end, where the result is there and Redis has not been told."""
    service, proxy = proxied
    for mark in (rb"\"stage\":\"render\"", b"result_key"):
        fault = proxy.at(lambda _: time.sleep(0.5), mark)
        (job,) = service.finished(service.create("images", f"cut off at {mark!r}", motion=TURN))
        assert fault.happened == 1
        service.check_done_once(job)
