"""How a front-end begins and leaves."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import Server, Start
from tests.service.routes.test_create import YAW
from tests.service.running.test_slow_clients import connected, head
from tests.support.processes import PATIENCE_S, until

ASK = head("GET", "/healthz") + b"\r\n"


def create(server: Server, portrait: bytes, **headers: str) -> httpx.Response:
    files, data = {"portrait": portrait}, {"motion": YAW}
    return server.client.post("/v1/images", files=files, data=data, headers=headers)


def leave(server: Server) -> None:
    """Tell it to stop, and wait until it takes no more connections."""
    server.front_end.should_exit = True
    until(lambda: not any(each.is_serving() for each in server.front_end.servers), "it takes more connections")


def test_connections_that_idle_are_answered_once_more(start: Start) -> None:
    """What they ask may be on its way when the front-end is told to stop."""
    server = start()
    with connected(server) as used, connected(server) as fresh:
        used.sendall(ASK)
        first = b""
        while not first.endswith(b"}"):
            first += used.recv(65_536)
        assert b"connection: close" not in first
        server.client.get("/healthz")  # by then the other one was taken as well
        leave(server)
        for connection in (used, fresh):
            connection.sendall(ASK)
            with connection.makefile("rb") as answer:
                text = answer.read()  # until it closes
            assert text.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz", trust_env=False)


def test_streams_and_waits_end_when_it_leaves(start: Start, portrait: bytes) -> None:
    server = start(max_wait_s=10 * PATIENCE_S)
    job = create(server, portrait).json()
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(create(server, portrait, Prefer=f"wait={10 * PATIENCE_S}"))
    )
    waiting.start()
    with httpx.Client(base_url=server.url, trust_env=False) as other:
        until(lambda: len(other.get("/v1/jobs").json()["jobs"]) == 2, "its request has not begun")
        with other.stream("GET", job["urls"]["events"]) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("event: status")
            leave(server)
            assert "queued" in "".join(lines)  # it ends as a stream does, and is not broken off
    waiting.join(PATIENCE_S)
    assert (answers[0].status_code, answers[0].json()["status"]) == (202, "queued")


def test_it_says_when_it_is_ready_and_when_it_stops(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notices"))
        notices.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notices"))
        server = start()
        assert notices.recv(64) == b"READY=1"
        leave(server)
        assert notices.recv(64) == b"STOPPING=1"


@pytest.mark.slow
def test_it_leaves_as_well_where_nobody_listens_to_it_any_more(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `serve`, which waits for a new one to be ready and for nothing else."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    server = start()
    with connected(server) as idle:
        server.client.get("/healthz")
        leave(server)
        idle.sendall(ASK)
        with idle.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(("listens", "reason"), [(None, "Bad file descriptor"), (False, "it does not listen")])
def test_what_is_no_listening_socket_is_refused(tmp_path: Path, listens: bool | None, reason: str) -> None:
    with socket.socket() as handed:
        number = 99 if listens is None else handed.fileno()
        command = [sys.executable, "-m", "service.cli", "api", "--fd", str(number), "--data-dir", str(tmp_path)]
        passed = () if listens is None else (number,)
        done = subprocess.run(command, pass_fds=passed, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert f"--fd {number} is not a listening socket: {reason}" in done.stderr


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
def test_a_socket_that_strangers_reach_needs_a_key(tmp_path: Path, family: socket.AddressFamily, address: str) -> None:
    """Whoever made it, and although PIRENDERER_HOST says nothing of it."""
    with socket.create_server((address, 0), family=family) as handed:
        number = handed.fileno()
        command = [sys.executable, "-m", "service.cli", "api", "--fd", str(number), "--data-dir", str(tmp_path)]
        done = subprocess.run(
            command, pass_fds=(number,), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    assert done.returncode == 2
    assert f"listening on {address} without an API key would serve everyone" in done.stderr
