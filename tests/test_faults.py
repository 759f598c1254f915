"""Faults of the whole service, with real processes: none may lose a job, or do one twice with two results."""

import contextlib
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import redis

from service.embedded import find_redis_server, free_port
from service.jobs.queues import make_celery, send
from service.jobs.schemas import JobKind
from tests.sse import events_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PORTRAIT = ROOT / "service" / "samples" / "portrait.jpg"
TURN = json.dumps({"controls": {"yaw": 15}})
SWAY = json.dumps({"keyframes": [{"t": 0, "controls": {}}, {"t": 1, "controls": {"yaw": 15}}]})
PLAIN = json.dumps({"paste_back": False})


def until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Service:
    """Redis, a front-end and a worker, each a process that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.redis_port, self.api_port = free_port(), free_port()
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}/0"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", timeout=30, trust_env=False)

    @property
    def artifacts(self) -> Path:
        return self.folder / "data" / "artifacts"

    def start(self, name: str, limit: Callable[[], None] | None = None) -> None:
        cli = [sys.executable, "-m", "service.cli"]
        persistence = ["--save", "", "--appendonly", "yes", "--dir", str(self.folder)]
        command = {
            "redis": [str(find_redis_server()), "--port", str(self.redis_port), "--bind", "127.0.0.1", *persistence],
            "api": [*cli, "api", "--port", str(self.api_port)],
            "worker": [*cli, "worker"],
        }[name]
        environment = {
            **os.environ,
            "PIRENDERER_REDIS_URL": self.redis_url,
            "PIRENDERER_DATA_DIR": str(self.folder / "data"),
            "PIRENDERER_HOUSEKEEPING_S": "0.5",
            "PYTHONPATH": str(ROOT),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log,
                preexec_fn=limit,  # noqa: PLW1509 - one system call
            )  # fmt: skip
        if name == "redis":
            until(self._redis_answers, 20, "Redis does not start")
        if name == "api":
            until(self._api_answers, 30, f"the API does not start: {self.log('api')}")

    def kill(self, name: str) -> None:
        """With kill -9, as the kernel does when memory is short."""
        self.processes[name].kill()
        self.processes[name].wait(10)

    def kill_child(self) -> None:
        """The process that works, not the one that watches it."""
        for child in psutil.Process(self.processes["worker"].pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.send_signal(signal.SIGKILL)

    def create(self, call: str, key: str, **form: str) -> str:
        """Send a job until it is taken, however often the front-end is away."""
        deadline = time.monotonic() + 60
        while True:
            try:
                response = self.client.post(
                    f"/v1/{call}",
                    files={"portrait": PORTRAIT.read_bytes()},
                    data={"options": PLAIN, **form},
                    headers={"Idempotency-Key": key},
                )
                if response.is_success:
                    return str(response.json()["id"])
                assert response.status_code in (409, 503), response.text
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, self.log("api")
            time.sleep(0.2)

    def job(self, job_id: str) -> dict[str, Any] | None:
        """The job, or None while nobody answers."""
        with contextlib.suppress(httpx.TransportError):
            response = self.client.get(f"/v1/jobs/{job_id}")
            if response.status_code == 200:
                found: dict[str, Any] = response.json()
                return found
            assert response.status_code == 503, response.text
        return None

    def done(self, jobs: list[str]) -> int:
        found = [self.job(job_id) for job_id in jobs]
        return sum(job is not None and job["status"] not in ("queued", "running") for job in found)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        self.client.close()
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _redis_answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.redis_url) as client:
            return bool(client.ping())
        return False

    def _api_answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/healthz").status_code == 200
        return False


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    try:
        service.start("redis")
        yield service
    finally:
        service.stop()


def test_no_job_is_lost_whatever_dies(service: Service) -> None:
    if not (ROOT / "model" / "weights" / "renderer-guided-light.safetensors").is_file():
        pytest.skip("no weights")
    faults = 0
    service.start("api")
    service.start("worker")
    jobs = [service.create("images", f"image-{number}", motion=TURN) for number in range(6)]
    jobs += [service.create("videos", f"video-{number}", motion=SWAY) for number in range(2)]
    celery = make_celery(service.redis_url)
    for job_id in jobs[:3]:  # delivered twice
        send(celery, job_id, JobKind.IMAGE)
        faults += 1
    celery.close()
    until(lambda: service.done(jobs) >= 2, 90, service.log("worker"))
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
    until(lambda: service.done(jobs) >= 4, 90, service.log("worker"))
    service.kill("redis")
    faults += 1
    time.sleep(0.5)
    service.start("redis")
    until(lambda: service.done(jobs) >= 6, 120, service.log("worker"))
    service.kill("worker")
    faults += 1
    service.start("worker")
    until(lambda: service.done(jobs) == len(jobs), 150, service.log("worker") + service.log("api"))
    for job_id in jobs:
        job = service.job(job_id)
        assert job is not None
        assert job["status"] == "succeeded", job["error"]
        result = service.client.get(job["urls"]["result"])
        assert hashlib.sha256(result.content).hexdigest() == job["result"]["sha256"]
        names = {path.name for path in (service.artifacts / job_id[:2] / job_id).iterdir()}
        assert names == {"portrait.jpg", "result.png" if job["kind"] == "image" else "result.mp4"}
    assert service.create("images", "image-0", motion=TURN) == jobs[0]  # the key is still known
    assert len(service.client.get("/v1/jobs").json()["jobs"]) == len(jobs) == 11
    print(f"{len(jobs)} jobs, {faults} faults, 0 lost")  # noqa: T201


def test_events_are_taken_up_where_a_front_end_died(service: Service) -> None:
    service.start("api")
    job_id = service.create("images", "k", motion=TURN)
    seen: list[dict[str, str]] = []

    def follow(stop_after: int) -> None:
        headers = {"Last-Event-ID": seen[-1]["id"]} if seen else {}
        with (
            contextlib.suppress(httpx.TransportError),
            service.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response,
        ):
            for event in events_of(response):
                seen.append(event)
                if len(seen) == stop_after:
                    service.kill("api")

    follow(1)
    service.start("api")
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    follow(99)
    assert [json.loads(event["data"])["status"] for event in seen] == ["queued", "canceled"]


def test_an_upload_that_a_dying_front_end_breaks_off_leaves_no_job(service: Service) -> None:
    service.start("api")
    with socket.create_connection(("127.0.0.1", service.api_port)) as slow:
        slow.sendall(
            b"POST /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000\r\nIdempotency-Key: k\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="portrait"; filename="a"\r\n\r\n'
            + PORTRAIT.read_bytes()[:9000]
        )
        until(lambda: list(service.artifacts.glob("??/*/.portrait*")), 20, "the upload did not begin")
        service.kill("api")
    service.start("api")
    assert service.client.get("/v1/jobs").json()["jobs"] == []
    (folder,) = service.artifacts.glob("??/*")
    hours_ago = time.time() - 2 * 3600
    os.utime(folder, (hours_ago, hours_ago))
    service.kill("api")
    service.start("api")  # housekeeping sweeps as it begins
    until(lambda: not folder.exists(), 10, "the folder was not swept")


def test_without_room_uploads_are_refused_and_the_service_goes_on(service: Service) -> None:
    """No file may grow beyond 20 kB: the write fails in the middle, as on a full disk."""
    service.start("api", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY)))
    for _ in range(3):
        files, data = {"portrait": PORTRAIT.read_bytes()}, {"motion": TURN}
        response = service.client.post("/v1/images", files=files, data=data)
        assert (response.status_code, response.json()["type"]) == (507, "urn:pirenderer:problem:storage-full")
    assert not list(service.artifacts.glob("??/*"))
    assert service.client.get("/v1/jobs").json()["jobs"] == []
    assert service.client.get("/readyz").status_code == 200
