"""Redis, front-end and workers, each a real process that can be killed and started again."""

import contextlib
import functools
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import redis

from jobs.store.jobs import JobStore
from service.running.embedded import find_redis_server, free_port
from tests.support.paths import ROOT

PORTRAIT = ROOT / "service" / "samples" / "portrait.jpg"
TURN = json.dumps({"controls": {"yaw": 15}})
SWAY = json.dumps({"keyframes": [{"t": 0, "controls": {}}, {"t": 1, "controls": {"yaw": 15}}]})
PLAIN = json.dumps({"paste_back": False})
PATIENCE_S = 120  # of a test with what is to come about, on a machine as slow and busy as any
NO_TLS = False  # what a client is to verify that speaks HTTP alone: it need not read all certificates first
RESULTS = {"image": "result.png", "video": "result.mp4", "motion": "result.json"}


def need_weights() -> None:
    """Skip what needs trained weights where they are not installed."""
    if not (ROOT / "model" / "weights" / "renderer-guided-light.safetensors").is_file():
        pytest.skip("no weights")


def until(
    condition: Callable[[], Any],
    what: str | Callable[[], str],
    *,
    every_s: float = 0.05,
    within_s: float = PATIENCE_S,
) -> None:
    """Ask again and again; an end, which stays, may be asked for less often than what passes.

    After `within_s` it fails and tells `what`.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(every_s)


def child_of(worker: subprocess.Popen[bytes]) -> psutil.Process | None:
    """The process of a worker that works, be it that it loads yet."""
    children = psutil.Process(worker.pid).children()
    return next((each for each in children if "spawn_main" in " ".join(each.cmdline())), None)


def most_files(number: int) -> Callable[[], None]:
    """What a process to be started does first so that it may open no more files."""
    return functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (number, number))


class Service:
    """A service in a folder. `worker_port` is where workers find Redis, if not at its own port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.redis_port, self.api_port = free_port(), free_port()
        self.worker_port = self.redis_port
        redis_server = find_redis_server()
        assert redis_server is not None
        self.redis_server = redis_server
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.api_port}", timeout=30, trust_env=False, verify=NO_TLS
        )

    @property
    def artifacts(self) -> Path:
        return self.folder / "data" / "artifacts"

    @property
    def redis(self) -> "redis.Redis":
        return redis.Redis(port=self.redis_port, decode_responses=True)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PIRENDERER_DATA_DIR": str(self.folder / "data"),
            "PIRENDERER_HOUSEKEEPING_S": "0.5",
            # A third of what they are, so that tests need not wait as long for what is dead or lost.
            "PIRENDERER_LEASE_S": "10",
            "PIRENDERER_LIVE_S": "6",
            "PIRENDERER_RESEND_AFTER_S": "10",
            "PYTHONPATH": str(ROOT),
        }

    @property
    def store(self) -> JobStore:
        return JobStore.connect(f"redis://127.0.0.1:{self.redis_port}/0")

    def start(
        self, name: str, limit: Callable[[], None] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start `redis`, `api`, or a worker: any name that begins so."""
        cli = [sys.executable, "-m", "service.cli"]
        persistence = ["--save", "", "--appendonly", "yes", "--dir", str(self.folder)]
        command = {
            "redis": [str(self.redis_server), "--port", str(self.redis_port), "--bind", "127.0.0.1", *persistence],
            "api": [*cli, "api", "--port", str(self.api_port)],
            "worker": [*cli, "worker"],
        }[name.split(maxsplit=1)[0]]
        port = self.worker_port if name.startswith("worker") else self.redis_port
        settings = {
            **self.environment,
            "PIRENDERER_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            **(environment or {}),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=settings, stdout=log, stderr=log,
                preexec_fn=limit,  # noqa: PLW1509 - one system call
            )  # fmt: skip
        if name == "redis":
            until(self._redis_answers, "Redis does not start")
        if name == "api":
            until(self._api_answers, lambda: f"the API does not start: {self.log('api')}")

    def wait_for_workers(self, count: int = 1) -> None:
        """Until so many have loaded their models."""
        until(lambda: self.client.get("/readyz").json()["workers"] >= count, lambda: self.log("worker"), every_s=0.3)

    def kill(self, name: str) -> None:
        """With kill -9, as the kernel does when memory is short."""
        self.processes[name].kill()
        self.processes[name].wait(PATIENCE_S)

    def child(self, name: str = "worker") -> psutil.Process | None:
        """The process that works, not the one that watches it."""
        return child_of(self.processes[name])

    def kill_child(self) -> None:
        if (child := self.child()) is not None:
            child.send_signal(signal.SIGKILL)
            child.wait(PATIENCE_S)

    def kill_all(self, name: str) -> None:
        """A worker with the process that watches it."""
        child = self.child(name)
        self.kill(name)
        if child is not None:
            with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended with the other
                child.send_signal(signal.SIGKILL)

    def create(self, call: str, key: str, *, source: bytes | None = None, **form: str) -> str:
        """Send a job until it is taken, however often the front-end is away."""
        deadline = time.monotonic() + PATIENCE_S
        options = {} if call == "motions" else {"options": PLAIN}
        while True:
            try:
                response = self.client.post(
                    f"/v1/{call}",
                    files={"source" if call == "motions" else "portrait": source or PORTRAIT.read_bytes()},
                    data={**options, **form},
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
        """How many have ended, of those among the newest hundred; 0 while nobody answers."""
        with contextlib.suppress(httpx.TransportError):
            response = self.client.get("/v1/jobs", params={"limit": 100})
            assert response.status_code in (200, 503), response.text
            found = response.json()["jobs"] if response.is_success else []
            return sum(job["id"] in jobs and job["status"] not in ("queued", "running") for job in found)
        return 0

    def finished(self, *jobs: str, within_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """The jobs when all have ended."""
        until(
            lambda: self.done(list(jobs)) == len(jobs),
            lambda: self.log("worker") + self.log("api"),
            every_s=0.3,
            within_s=within_s,
        )
        found = [self.job(job_id) for job_id in jobs]
        return [job for job in found if job is not None]

    def check_done_once(self, job: dict[str, Any], *, inputs: int = 1) -> None:
        """A job has one result, which is whole, and no file but that, what it was made from and what plays of it."""
        assert job["status"] == "succeeded", job["error"]
        result = self.client.get(job["urls"]["result"])
        assert hashlib.sha256(result.content).hexdigest() == job["result"]["sha256"]
        names = self.files(job["id"])
        played = self.played(job["id"]) if job["kind"] == "video" else set()
        assert names >= {RESULTS[job["kind"]], *played}
        assert len(names) == 1 + inputs + len(played), names
        events = self.redis.xrange(f"pirenderer:job:{job['id']}:events") or ()
        ends = [data for _, data in events if "succeeded" in str(data)]
        assert len(ends) == 1

    def files(self, job_id: str) -> set[str]:
        """The names of a job's files."""
        folder = self.artifacts / job_id[:2] / job_id
        return {path.name for path in folder.iterdir()} if folder.exists() else set()

    def played(self, job_id: str) -> set[str]:
        """The names of the files that play of a video which is done, each of which is its own."""
        with contextlib.closing(self.store) as store:
            stream = store.segments.stream(job_id)
        assert stream is not None
        assert stream.complete
        names = [key.partition("/")[2] for key in (stream.init, *(segment.key for segment in stream.segments))]
        beginnings = ["init", *(f"segment-{index}" for index in range(len(stream.segments)))]
        assert all(name.startswith(f"{each}-") for name, each in zip(names, beginnings, strict=True)), names
        return set(names)

    def check_nothing_is_left_but(self, jobs: list[str]) -> None:
        """Of what was begun and broken off nothing stays: after the sweep there are the folders of these jobs alone."""
        long_ago = time.time() - 2 * 3600
        for folder in self.artifacts.glob("??/*"):
            os.utime(folder, (long_ago, long_ago))
        self.kill("api")
        self.start("api")  # it sweeps as it begins
        until(lambda: {folder.name for folder in self.artifacts.glob("??/*")} == set(jobs), "folders are left")

    def traces(self, job_id: str) -> list[str]:
        """The keys in Redis that are a job's, and those of which it is a member."""
        keep = ("pirenderer:celery:", "pirenderer:idempotency:", "pirenderer:token:")  # go by themselves
        found = []
        with self.redis as client:
            for key in map(str, client.scan_iter()):
                if key.startswith(keep):
                    continue
                members: Any = {
                    "zset": lambda key: client.zrange(key, 0, -1),
                    "set": client.smembers,
                    "list": lambda key: client.lrange(key, 0, -1),
                    "hash": client.hkeys,
                }.get(str(client.type(key)), lambda _: ())(key)
                if job_id in key or job_id in members:
                    found.append(key)
        return sorted(found)

    def deliveries(self, job_id: str) -> int:
        """How often the job was begun, or its plan where it was cut into parts."""
        return int(str(self.redis.hget(f"pirenderer:job:{job_id}", "deliveries")))

    def attempts(self, job_id: str, part: str = "") -> int:
        """How often a part of a job was begun, by the logs of the workers, those among them that were given back."""
        lines = [line for path in self.folder.glob("worker*.log") for line in path.read_text("utf-8").splitlines()]
        begun = [json.loads(line) for line in lines if '"job begins"' in line and job_id in line]
        return sum((line["part"] or "") == part for line in begun)

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace")[-4000:] if path.is_file() else ""

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
        with contextlib.suppress(redis.RedisError), self.redis as client:
            return bool(client.ping())
        return False

    def _api_answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/healthz").status_code == 200
        return False
