"""`pirenderer healthy` tells whether this machine's API or worker lives."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import redis
from typer.testing import CliRunner

from jobs.machine import worker
from jobs.store.jobs import JobStore
from jobs.store.names import Key
from service.cli import app
from tests.service.conftest import Server, Start
from tests.support.processes import until
from worker.queue.heartbeat import Heartbeat


def healthy(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["healthy", *arguments])
    return done.exit_code, done.output


def port_of(server: Server) -> str:
    return str(urlsplit(server.url).port)


def test_an_api_that_answers_is_healthy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"{server.url}/healthz answers 200\n"
    assert healthy("api", "--port", port_of(server)) == (0, said)
    monkeypatch.setenv("PIRENDERER_PORT", port_of(server))
    monkeypatch.setenv("PIRENDERER_HOST", "0.0.0.0")
    assert healthy("api") == (0, said)
    monkeypatch.setenv("PIRENDERER_HOST", "::")
    status, said = healthy("api")
    assert status == 1
    assert said.startswith(f"error: http://[::1]:{port_of(server)}/healthz does not answer: ")


def test_an_api_that_has_all_its_connections_lives(start: Start) -> None:
    server = start(max_connections=1)
    assert server.client.get("/healthz").status_code == 200  # and keeps its connection
    assert healthy("api", "--port", port_of(server)) == (0, f"{server.url}/healthz answers 503\n")


def test_an_api_behind_a_path_is_found(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_ROOT_PATH", "/portraits")
    server = start(api_keys=("k" * 32,))
    assert healthy("api", "--port", port_of(server)) == (0, f"{server.url}/healthz answers 200\n")


def test_what_takes_connections_and_says_nothing_is_unhealthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, said = healthy("api", "--port", str(silent.getsockname()[1]))
    assert (status, said.rpartition(": ")[2]) == (1, "timed out\n")


@pytest.fixture
def heartbeat(store: JobStore) -> Iterator[Heartbeat]:
    """The heartbeat of this process, as of a worker's."""
    heartbeat = Heartbeat(store.workers, worker(os.getpid()), facts={}, every_s=0.2, beside=lambda: None)
    heartbeat.start()
    until(store.workers.names, "there is no heartbeat")
    yield heartbeat
    heartbeat.stop()


def test_a_worker_that_is_heard_of_is_healthy(
    heartbeat: Heartbeat, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIRENDERER_REDIS_URL", redis_url)
    script = (
        "import sys; sys.argv = ['pirenderer', 'healthy', 'worker']\n"
        "from service.cli import app\n"
        "with __import__('contextlib').suppress(SystemExit): app()\n"
        "heavy = {'torch', 'numpy', 'celery', 'fastapi', 'worker', 'model', 'av', 'httpx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"heard of: {worker(os.getpid())}\n"


def test_a_worker_that_falls_silent_is_unhealthy(
    heartbeat: Heartbeat, store: JobStore, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert healthy("worker", "--redis-url", redis_url)[0] == 0
    heartbeat.stop()
    until(lambda: not store.workers.names(), "its end is not told")
    store.workers.beat("another-machine/1:7:1", {})
    status, said = healthy("worker", "--redis-url", redis_url)
    assert status == 1
    assert said.startswith("error: no worker of this machine")
    assert said.endswith("was heard of for 20 s\n")
    monkeypatch.setenv("PIRENDERER_LIVE_S", "60")
    store.workers.beat(worker(os.getpid()), {})
    store._redis.zincrby(Key.WORKERS, -30, worker(os.getpid()))
    assert healthy("worker", "--redis-url", redis_url)[0] == 0
    store._redis.zincrby(Key.WORKERS, -35, worker(os.getpid()))
    assert healthy("worker", "--redis-url", redis_url)[0] == 1


@pytest.mark.parametrize("form", ["redis://{}/0", "sentinel://{}/0?service=ours"])
def test_a_redis_that_is_away_tells_nothing_of_a_worker(form: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        status, said = healthy("worker", "--redis-url", form.format(f"user:hidden@127.0.0.1:{port}"))
    assert status == 0
    assert "does not answer, so nothing is known of workers" in said
    assert "hidden" not in said


def test_a_redis_that_refuses_the_worker_makes_it_unhealthy(redis_url: str) -> None:
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        client.acl_setuser("nobody", enabled=True, passwords=["+right"], commands=["+ping"])
        try:
            for password in ("wrong", "right"):
                url = redis_url.replace("redis://", f"redis://nobody:{password}@")
                status, said = healthy("worker", "--redis-url", url)
                assert (status, "refuses us: " in said, password in said) == (1, True, False)
        finally:
            client.acl_deluser("nobody")


def test_what_cannot_be_asked_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_PORT", "no")
    status, said = healthy("api")
    assert (status, said.startswith("error: PIRENDERER_PORT: ")) == (1, True)
