"""`pirenderer api --processes` as real processes on one socket."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.store.jobs import JobStore
from service.running.frontend import SHARED, shared_folder
from service.siblings import Siblings, is_held
from tests.service.conftest import BOTH, FIRST, SECOND
from tests.service.running.test_serve import SlowUpload, asking
from tests.support.paths import ROOT
from tests.support.processes import NO_TLS, PATIENCE_S, until

pytestmark = pytest.mark.slow


class FrontEnd:
    """A running `pirenderer api --processes 2`."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.log = folder / "log"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        environment = {**os.environ, "PIRENDERER_DATA_DIR": str(folder / "data"), "TMPDIR": str(self.scratch)}
        with self.log.open("wb") as output, socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "api", "--processes", "2", "--fd", str(listener.fileno())],
                cwd=ROOT, env=environment | variables, stdout=output, stderr=subprocess.STDOUT,
                pass_fds=(listener.fileno(),),
            )  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def text(self) -> str:
        return self.log.read_text()

    def processes(self) -> list[psutil.Process]:
        return [child for child in psutil.Process(self.process.pid).children() if child.status() != "zombie"]

    def connections(self) -> list[int]:
        """How many connections each process has."""
        return [
            sum(each.status == "ESTABLISHED" and each.laddr.port == self.port for each in process.net_connections())
            for process in self.processes()
        ]

    def requests(self, route: str) -> float:
        """How many were answered, as /metrics says."""
        text = httpx.get(f"{self.url}/metrics", timeout=30, trust_env=False, verify=NO_TLS).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "pirenderer_http_requests_total" and sample.labels["route"] == route
        )


Begin = Callable[..., FrontEnd]


@pytest.fixture
def begin(tmp_path: Path, store: JobStore, redis_url: str, weights_dir: Path) -> Iterator[Begin]:
    """Start one and wait until it is ready, which it tells."""
    with contextlib.ExitStack() as stack:
        notices = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notices.bind(str(tmp_path / "notices"))
        notices.settimeout(60)

        def begin_serving(**variables: str) -> FrontEnd:
            variables |= {"PIRENDERER_REDIS_URL": redis_url, "PIRENDERER_WEIGHTS_DIR": str(weights_dir)}
            front_end = FrontEnd(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notices"), **variables)
            stack.callback(end, front_end)
            assert notices.recv(64) == b"READY=1"
            assert len(front_end.processes()) == 2
            return front_end

        def end(front_end: FrontEnd) -> None:
            everything = front_end.processes()
            front_end.process.terminate()
            assert front_end.process.wait(PATIENCE_S) == 0, front_end.text()
            assert notices.recv(64) == b"STOPPING=1"  # each was said once, and by nobody else
            assert not any(process.is_running() for process in everything)
            assert list(front_end.scratch.iterdir()) == []

        yield begin_serving


@contextlib.contextmanager
def held(front_end: FrontEnd, number: int) -> Iterator[list[socket.socket]]:
    """Connections that idle after a request each."""
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", front_end.port), timeout=30))
            for _ in range(number)
        ]
        ask_all(connections)
        yield connections


def ask_all(connections: list[socket.socket]) -> None:
    """Ask over each connection and read the answers."""
    for connection in connections:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    for connection in connections:
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(4096) or pytest.fail(f"closed after {answer!r}")
        assert answer.startswith(b"HTTP/1.1 200 ")


def until_both_take_some(front_end: FrontEnd) -> int:
    """Open 40 connections again and again; how often. One process may take them all while the other has no core."""
    for bursts in range(1, 50):
        with held(front_end, 40):
            shares = front_end.connections()
        assert sum(shares) == 40
        if min(shares) >= 4:
            return bursts
    pytest.fail(f"one process takes nearly all connections: {shares}")


def test_all_take_connections_and_a_death_fails_no_request_to_others(begin: Begin) -> None:
    front_end = begin()
    bursts = until_both_take_some(front_end)
    assert front_end.requests("/healthz") == 40 * bursts
    victim, survivor = front_end.processes()
    failures: list[str] = []
    with held(front_end, 40) as connections:
        theirs = {each.raddr.port for each in survivor.net_connections() if each.status == "ESTABLISHED"}
        victim.kill()
        ours = [each for each in connections if each.getsockname()[1] in theirs]
        ask_all(ours)

    def ask() -> None:  # over a connection of its own
        httpx.get(f"{front_end.url}/healthz", timeout=30, trust_env=False, verify=NO_TLS).raise_for_status()

    with asking(ask, failures) as times:
        until(lambda: len(front_end.processes()) == 2, front_end.text)
        until(lambda: front_end.text().count("Application startup complete") == 3, front_end.text)
        until(lambda: len(times) > 10, front_end.text)
    assert failures == []
    # what the dead one counted counts on, and the new one counts where it did
    known = 40 * bursts + 40 + len(ours) + len(times)
    until(lambda: front_end.requests("/healthz") == known, lambda: f"{front_end.requests('/healthz')}, not {known}")
    bursts = until_both_take_some(front_end)
    assert front_end.requests("/healthz") == known + 40 * bursts


def test_bounds_are_of_all_together(begin: Begin, portrait: bytes) -> None:
    front_end = begin(
        PIRENDERER_API_KEYS=BOTH, PIRENDERER_MAX_CONNECTIONS="24", PIRENDERER_FORM_SHARE="3", PIRENDERER_FORM_LIMIT="5"
    )

    def form(key: str) -> SlowUpload:
        upload = SlowUpload(front_end.url, portrait, key)
        upload.send_half()
        return upload

    def refusal(key: str) -> str:
        files, data = {"portrait": portrait}, {"motion": "{}"}
        headers = {"X-API-Key": key, "Connection": "close"}
        answer = httpx.post(
            f"{front_end.url}/v1/images", files=files, data=data, headers=headers, trust_env=False, verify=NO_TLS
        )
        return f"{answer.status_code} {answer.json()['detail']}"

    with contextlib.ExitStack() as stack:
        uploads = [stack.enter_context(contextlib.closing(form(FIRST))) for _ in range(3)]
        for _ in range(8):  # whichever process it comes to
            until(lambda: refusal(FIRST).startswith("429 "), "one owner may have more")
        uploads += [stack.enter_context(contextlib.closing(form(SECOND))) for _ in range(2)]
        for _ in range(8):
            until(lambda: refusal(SECOND).startswith("503 "), "all may have more")
        for upload in uploads:
            assert upload.answer().startswith(b"HTTP/1.1 202 ")
    with held(front_end, 24):
        for _ in range(8):
            with socket.create_connection(("127.0.0.1", front_end.port), timeout=30) as one_more:
                assert one_more.recv(4096).startswith(b"HTTP/1.1 503 ")
        victim = front_end.processes()[0]
        victim.kill()
    until(lambda: len(front_end.processes()) == 2, front_end.text)

    def room() -> bool:
        with contextlib.suppress(AssertionError, pytest.fail.Exception), held(front_end, 24):
            return True
        return False

    until(room, "what the dead one held is counted still")


def test_renewal_fails_no_request_and_a_stop_finishes_what_is_under_way(begin: Begin, portrait: bytes) -> None:
    front_end = begin(PIRENDERER_QUEUE_LIMIT="100000")  # nobody works on what is sent
    before = front_end.processes()
    failures: list[str] = []
    with httpx.Client(base_url=front_end.url, timeout=30, trust_env=False, verify=NO_TLS) as client:

        def poll() -> None:
            client.get("/v1/jobs").raise_for_status()

        def submit() -> None:
            files, data = {"portrait": portrait}, {"motion": json.dumps({"controls": {"yaw": 15}})}
            answer = httpx.post(
                f"{front_end.url}/v1/images", files=files, data=data, timeout=30, trust_env=False, verify=NO_TLS
            )
            assert answer.status_code == 202, answer.text

        with asking(poll, failures) as polls, asking(submit, failures) as submissions:
            slow = SlowUpload(front_end.url, portrait)
            slow.send_half()
            front_end.process.send_signal(signal.SIGUSR2)
            until(lambda: "Shutting down" in front_end.text(), front_end.text)
            assert slow.answer().startswith(b"HTTP/1.1 202")
            until(lambda: not any(process.is_running() for process in before), front_end.text)
            until(lambda: len(front_end.processes()) == 2, front_end.text)
            asked = len(polls)
            until(lambda: len(polls) > asked + 5, front_end.text)
    assert failures == []
    # of four processes
    assert front_end.requests("/v1/jobs") == len(polls)
    assert front_end.requests("/v1/images") == len(submissions) + 1
    uploads = [SlowUpload(front_end.url, portrait) for _ in range(6)]
    for upload in uploads:
        upload.send_half()
    until(lambda: sum(front_end.connections()) >= 6, front_end.text)
    front_end.process.terminate()
    until(lambda: front_end.text().count("Shutting down") == 4, front_end.text)
    assert [upload.answer()[:12] for upload in uploads] == [b"HTTP/1.1 202"] * 6


def test_what_cannot_begin_ends_the_command_with_its_error(tmp_path: Path, redis_url: str, weights_dir: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service.cli", "api", "--processes", "3", "--data-dir", str(tmp_path), *arguments],
            cwd=ROOT, env={**os.environ, "PIRENDERER_REDIS_URL": redis_url}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    open_to_all = run("--host", "0.0.0.0", "--port", "0")
    assert open_to_all.returncode == 2
    assert open_to_all.stderr.count("error: ") == 2
    assert "API process 1 ended with code 2 before it was ready" in open_to_all.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1 port {port}" in run("--port", port).stderr


def test_what_a_killed_front_end_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, used, new = (tmp_path / f"{SHARED}{name}" for name in ("left", "used", "new"))
    for folder in (left, used, new):
        folder.mkdir()
        (folder / "places").touch()
    siblings = Siblings(used)  # of a front-end that is still leaving
    for folder in (left, used):
        os.utime(folder, (time.time() - 3600,) * 2)
    with shared_folder(2) as shared:
        assert shared is not None
        assert is_held(shared)
        assert set(tmp_path.iterdir()) == {used, new, shared}
    assert set(tmp_path.iterdir()) == {used, new}
    siblings.leave("seats", siblings.seat)
