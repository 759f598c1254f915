"""Whatever of a service dies, with jobs waiting and running: none is lost, and none is done twice with two results."""

import threading
import time

import pytest

from jobs.messages import job_message
from jobs.schemas import JobKind
from jobs.store.jobs import JobStore
from tests.support.processes import SWAY, TURN, Service, need_weights, until
from tests.support.redis_proxy import RedisProxy

pytestmark = pytest.mark.slow


def test_no_job_is_lost_whatever_dies(service: Service) -> None:
    need_weights()
    faults = 0
    service.start("api")
    service.start("worker")
    jobs = [service.create("images", f"image-{number}", motion=TURN) for number in range(6)]
    jobs += [service.create("videos", f"video-{number}", motion=SWAY) for number in range(2)]
    store = JobStore.connect(f"redis://127.0.0.1:{service.redis_port}/0")
    for job_id in jobs[:3]:  # delivered twice
        store.send(job_message(job_id, JobKind.IMAGE))
        faults += 1
    store.close()
    until(lambda: service.done(jobs) >= 2, lambda: service.log("worker"))
    service.kill_child()
    faults += 1
    service.kill("api")
    faults += 1
    submitted: list[str] = []
    late = threading.Thread(target=lambda: submitted.extend(
        service.create("images", f"late-{number}", motion=TURN) for number in range(3)
    ))  # fmt: skip
    late.start()  # while nobody answers
    service.start("api")
    late.join()
    jobs += submitted
    until(lambda: service.done(jobs) >= 4, lambda: service.log("worker"))
    service.kill("redis")
    faults += 1
    time.sleep(0.5)
    service.start("redis")
    until(lambda: service.done(jobs) >= 6, lambda: service.log("worker"))
    service.kill("worker")
    faults += 1
    service.start("worker")
    for job in service.finished(*jobs, within_s=150):
        service.check_done_once(job)
    assert service.create("images", "image-0", motion=TURN) == jobs[0]  # the key is still known
    assert len(service.client.get("/v1/jobs").json()["jobs"]) == len(jobs) == 11
    service.check_nothing_is_left_but(jobs)
    print(f"{len(jobs)} jobs, {faults} faults, 0 lost")  # noqa: T201


def test_a_worker_goes_on_though_redis_died_before_its_message_was_acknowledged(service: Service) -> None:
    need_weights()
    proxy = RedisProxy(service.redis_port)
    service.worker_port = proxy.port
    died = proxy.at(lambda _: service.kill("redis"), b"ZREM", b"unacked_index")
    try:
        service.start("api")
        service.start("worker")
        jobs = [service.create("images", "first", motion=TURN)]
        until(lambda: died.happened, lambda: service.log("worker"))
        time.sleep(2)  # in which the worker tries once more, and is refused
        service.start("redis")
        jobs.append(service.create("images", "second", motion=TURN))
        for job in service.finished(*jobs):
            service.check_done_once(job)
    finally:
        service.stop()
        proxy.close()
