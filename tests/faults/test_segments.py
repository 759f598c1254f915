"""The parts of a video: whatever dies or is away, its frames are those of a run without faults."""

import hashlib
import json
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import av
import psutil  # type: ignore[import-untyped]
import pytest

from jobs.kinds import KINDS
from jobs.messages import task_name
from jobs.problems import ProblemType
from jobs.schemas import JobKind
from jobs.segments import cut
from jobs.store.names import Key, lock_key
from tests.support.processes import PATIENCE_S, PORTRAIT, TURN, Service, need_weights, until
from tests.support.redis_proxy import RedisProxy
from worker.queue.app import make_app

pytestmark = pytest.mark.slow

FRAMES = 41
SEGMENTS = len(list(cut(FRAMES)))
MOTION = json.dumps({"keyframes": [{"t": 0, "controls": {}}, {"t": 1.6, "controls": {"yaw": 25, "jaw_open": 0.5}}]})
WORKERS = ("worker", "worker 2")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, RedisProxy]]:
    """A service whose two workers talk to Redis through a proxy that can stop or kill them."""
    need_weights()
    service = Service(tmp_path_factory.mktemp("segments"))
    proxy = RedisProxy(service.redis_port)
    service.worker_port = proxy.port
    try:
        for name in ("redis", "api", *WORKERS):
            service.start(name)
        service.wait_for_workers(2)
        yield service, proxy
    finally:
        service.stop()
        proxy.close()


@pytest.fixture(scope="module")
def frames(proxied: tuple[Service, RedisProxy]) -> list[str]:
    """The frames of the video when nothing happens to it."""
    service, _ = proxied
    (job,) = service.finished(create(service, "undisturbed"))
    found = frames_of(service, job)
    assert len(set(found)) == FRAMES
    return found


def create(service: Service, key: str) -> str:
    unseen = PORTRAIT.read_bytes() + key.encode()  # what follows a JPEG does not count, but no process knows it
    return service.create("videos", key, source=unseen, motion=MOTION)


def frames_of(service: Service, job: dict[str, Any]) -> list[str]:
    """Each frame of a result: when it is shown, and what it decodes to."""
    with av.open(service.artifacts / job["id"][:2] / job["id"] / "result.mp4") as film:
        return [
            f"{frame.pts} {hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()}" for frame in film.decode(video=0)
        ]


def check(service: Service, job: dict[str, Any], frames: list[str]) -> None:
    """It is done once, with the frames it is to have; nothing else lies about, and nothing once it is deleted."""
    until(lambda: not service.redis.exists(Key.UNTIDY), "files are not looked through")
    service.check_done_once(job)
    assert frames_of(service, job) == frames
    own = {f"{Key.JOB}{job['id']}{suffix}" for suffix in ("", ":spec", ":events", ":segments")}
    others = {key for key in service.traces(job["id"]) if key not in own}
    assert {re.sub("owner:.*", "owner:", key) for key in others} == {Key.EXPIRING, Key.OWNER}
    delete(service, job["id"])


def delete(service: Service, job_id: str) -> None:
    assert service.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert service.traces(job_id) == []
    assert service.files(job_id) == set()


def holder(service: Service, job_id: str, part: str) -> psutil.Process | None:
    value = service.redis.get(lock_key(job_id, part))
    return None if value is None else psutil.Process(int(str(value).partition("|")[0].rpartition(":")[2]))


def sender(data: bytes) -> psutil.Process:
    """Whose write this is."""
    found = re.search(rb'"holder": "[^"]*:(\d+)"', data)
    assert found is not None
    return psutil.Process(int(found[1]))


def kill(data: bytes) -> None:
    process = sender(data)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)


def cut_off(_: bytes) -> None:
    """The process goes on; its connection is lost."""


# What a worker writes for which part, what then happens to it, whether Redis gets it, and how often the part is begun.
FAULTS = {
    "before anything is planned": ("", (rb"\"stage\":\"face\"",), kill, False, 2),
    "before it is cut": ("", (b'"codecs',), kill, False, 2),
    "while it is planned": ("", (b"plan-2-",), kill, False, 2),
    "when it is planned": ("", (b'"found"',), kill, False, 2),
    "planned and told": ("", (b'"found"',), kill, True, 1),
    "while it is rendered": ("1", (b'"part": "1"', b'"rendered": 6'), kill, False, 2),
    "rendered and not told": ("1", (b"segment-1-",), kill, False, 2),
    "rendered and told, and the answer is lost": ("2", (b"segment-2-",), cut_off, True, 1),
    "while it is joined": ("join", (b'"part": "join"',), kill, False, 2),
    "joined and not told": ("join", (b"result_key",), kill, False, 2),
    "joined and told": ("join", (b"result_key",), kill, True, 1),
}


def test_a_fault_at_any_part(proxied: tuple[Service, RedisProxy], frames: list[str]) -> None:
    service, proxy = proxied
    faults, jobs = {}, {}
    for name, (_, marks, act, after, _) in FAULTS.items():
        jobs[name] = create(service, name)
        faults[name] = proxy.at(act, jobs[name].encode(), *marks, after=after)
    for (name, job_id), job in zip(jobs.items(), service.finished(*jobs.values(), within_s=600), strict=True):
        part, *_, attempts = FAULTS[name]
        assert faults[name].happened == 1, name
        assert service.attempts(job_id, part) == attempts, name
        check(service, job, frames)
    print(f"{len(jobs) * SEGMENTS} segments, {len(faults)} faults, 0 lost")  # noqa: T201


def test_a_worker_that_was_held_up_writes_nothing_more(proxied: tuple[Service, RedisProxy], frames: list[str]) -> None:
    """It is stopped for longer than its lease, with a fragment that is stored and not told."""
    service, proxy = proxied
    stored = []

    def stop(data: bytes) -> None:
        process = sender(data)
        process.suspend()
        name = re.search(rb"segment-1-\w+\.m4s", data)
        assert name is not None
        stored.append(name[0].decode())
        try:
            assert stored[0] in service.files(job_id)
            until(lambda: holder(service, job_id, "1") not in (None, process), "nobody takes it")
        finally:
            process.resume()

    job_id = create(service, "held up")
    fault = proxy.at(stop, job_id.encode(), b"segment-1-")
    until(lambda: stored, "it is not rendered")
    until(lambda: fault.happened and not any(name in service.files(job_id) for name in stored), "its file stays")
    (job,) = service.finished(job_id)
    assert service.attempts(job_id, "1") == 2
    assert stored[0] not in service.played(job_id)
    check(service, job, frames)
    print(f"{SEGMENTS} segments, 1 fault, 0 lost")  # noqa: T201


def test_a_segment_that_kills_its_worker_each_time(proxied: tuple[Service, RedisProxy], frames: list[str]) -> None:
    service, proxy = proxied
    poison = create(service, "poison")
    fault = proxy.at(kill, poison.encode(), b'"part": "1"', b'"rendered": 6', times=9)
    others = [create(service, "beside poison"), service.create("images", "beside poison too", motion=TURN)]
    failed, video, image = service.finished(poison, *others, within_s=180)
    assert fault.happened == 3
    assert failed["error"]["type"].endswith(ProblemType.WORKER_LOST.uri)
    until(lambda: service.files(poison) == {"portrait.jpg"}, lambda: str(service.files(poison)))
    delete(service, poison)
    check(service, video, frames)
    service.check_done_once(image)
    print(f"{2 * SEGMENTS} segments, {fault.happened} faults, 1 given up, 0 lost")  # noqa: T201


@pytest.mark.parametrize("way", ["cancel", "delete"])
def test_a_video_is_ended_while_two_work_on_it(proxied: tuple[Service, RedisProxy], way: str) -> None:
    service, _ = proxied
    service.wait_for_workers(2)
    job_id = service.create("videos", way, motion=MOTION.replace('"t": 1.6', '"t": 60'))
    taken = f"{Key.JOB}{job_id}:taken"
    until(
        lambda: len({holder(service, job_id, part) for part in map(str, service.redis.smembers(taken))} - {None}) == 2,
        "no",
    )
    if way == "cancel":
        service.client.post(f"/v1/jobs/{job_id}/cancel")
        (job,) = service.finished(job_id)
        assert job["status"] == "canceled"
        until(lambda: service.files(job_id) == {"portrait.jpg"}, lambda: str(service.files(job_id)))
    delete(service, job_id)
    until(lambda: service.redis.zcard(Key.CUT_JOBS) == 0, "it is at work")
    time.sleep(1.5)  # both hear of it within a second
    until(lambda: service.traces(job_id) == [] and service.files(job_id) == set(), lambda: str(service.traces(job_id)))


def test_a_whole_worker_is_killed_and_redis_starts_anew(proxied: tuple[Service, RedisProxy], frames: list[str]) -> None:
    service, proxy = proxied

    def end(data: bytes) -> None:
        process = sender(data)
        service.kill_all(next(name for name in WORKERS if service.child(name) == process))

    def restart(_: bytes) -> None:
        service.kill("redis")
        time.sleep(0.5)
        service.start("redis")

    for act in (end, restart):  # one after the other: what is told while Redis is away passes nowhere
        job_id = create(service, act.__name__)
        fault = proxy.at(act, job_id.encode(), b'"part": "1"', b'"rendered": 6')
        (job,) = service.finished(job_id)
        check(service, job, frames)
        assert fault.happened == 1
    print(f"{2 * SEGMENTS} segments, 2 faults, 0 lost")  # noqa: T201


def test_messages_and_tokens_of_the_version_before(proxied: tuple[Service, RedisProxy], frames: list[str]) -> None:
    """They have the id of a job for a token, and say of no message which part it was used for."""
    service, _ = proxied
    job_id = create(service, "old messages")
    service.redis.set(Key.TOKEN + job_id, job_id)
    celery = make_app(f"redis://127.0.0.1:{service.redis_port}/0")
    for _ in range(SEGMENTS):
        queue = KINDS[JobKind.VIDEO].queue
        celery.send_task(task_name(JobKind.VIDEO), args=[job_id], task_id=job_id, queue=queue, retry=False)
    celery.close()
    (job,) = service.finished(job_id)
    check(service, job, frames)


def test_a_canceled_video_that_nobody_is_at_leaves_no_file(proxied: tuple[Service, RedisProxy]) -> None:
    """The last test, as it leaves none alive."""
    service, proxy = proxied
    job_id = create(service, "canceled when all are dead")

    def end(data: bytes) -> None:
        for name in WORKERS:
            if service.processes[name].poll() is None:  # an earlier test may have killed it
                service.kill_all(name)

    fault = proxy.at(end, job_id.encode(), b'"found"')
    until(lambda: fault.happened, "it is not planned")
    assert len(service.files(job_id)) > SEGMENTS
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    (job,) = service.finished(job_id)
    assert job["status"] == "canceled"
    until(lambda: service.files(job_id) == {"portrait.jpg"}, lambda: str(service.files(job_id)))
    delete(service, job_id)
