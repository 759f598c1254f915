"""Clients that send or take their bytes one by one, or without end, over real sockets: none holds its connection."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from select import select

import pytest

from jobs.problems import ProblemType
from tests.service.conftest import Server, Start
from tests.support.processes import PATIENCE_S

pytestmark = [pytest.mark.slow, pytest.mark.alone]

LIMIT_S = 0.6


@pytest.fixture
def hasty(start: Start) -> Server:
    return start(header_timeout_s=LIMIT_S, upload_timeout_s=LIMIT_S, stall_timeout_s=LIMIT_S)


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    url = server.client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=PATIENCE_S) as connection:
        yield connection


def dribble(connection: socket.socket, piece: bytes, *, every_s: float = 0.05) -> tuple[float, bytes]:
    """Send a piece again and again until the server has closed; how long that took, and what it answered."""
    began = time.monotonic()
    answer = b""
    connection.settimeout(every_s)
    while time.monotonic() - began < PATIENCE_S:
        with contextlib.suppress(TimeoutError):
            try:
                connection.sendall(piece)
                got = connection.recv(65_536)
            except ConnectionError:
                return time.monotonic() - began, answer
            if not got:
                return time.monotonic() - began, answer
            answer += got
    pytest.fail(f"the connection is held for {PATIENCE_S} s; answered was {answer!r}")


def head(method: str, path: str, **headers: object) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}".encode()


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b""),  # nothing at all
        (b"", b"\r\n"),
        (b"GET /", b"a"),
        (b"GET /healthz HTTP/1.1\r\n", b"A: b\r\n"),
        (head("GET", "/healthz") + b"\r\n", b"\r\n"),  # after a whole request, of which the answer is read
        (head("GET", "/healthz") + b"\r\n" + head("GET", "/healthz"), b"A"),
    ],
)
def test_headers_have_their_time(hasty: Server, first: bytes, piece: bytes) -> None:
    with connected(hasty) as connection:
        connection.sendall(first)
        took, _ = dribble(connection, piece)
    assert took > LIMIT_S / 2


def test_a_form_has_its_time_and_says_so(hasty: Server) -> None:
    with connected(hasty) as connection:
        form = head("POST", "/v1/images", Content_Type="multipart/form-data; boundary=x", Content_Length=90_000)
        connection.sendall(form + b"\r\n--x\r\n")
        _, answer = dribble(connection, b"A")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert not list(hasty.artifacts.root.glob("??/*"))


def test_a_body_that_nobody_reads_has_its_time(hasty: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.running.connections.BODY_GRACE_S", 0)
    with connected(hasty) as connection:
        connection.sendall(head("POST", f"/v1/jobs/{'0' * 32}/cancel", Content_Length=90_000) + b"\r\n")
        took, answer = dribble(connection, b"A")
    assert answer.startswith(b"HTTP/1.1 404 ")  # at once, but more of the body came
    assert took > LIMIT_S / 2


@pytest.mark.parametrize(
    "first",
    [
        b"GET /",
        head("GET", "/healthz"),
        head("GET", "/healthz") + b"A: ",
        head("POST", "/v1/images", Transfer_Encoding="chunked") + b"\r\n0\r\n",  # trailers
    ],
)
def test_headers_have_an_end(hasty: Server, first: bytes) -> None:
    piece = b"Header: value\r\n" if first.endswith(b"\r\n") else b"a" * 20
    with connected(hasty) as connection:
        sent = 0
        connection.sendall(first)
        with contextlib.suppress(ConnectionError):
            while sent < 100 << 20:
                connection.sendall(piece * 1000)
                sent += 1000 * len(piece)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while got := connection.recv(65_536):
                answer += got
    assert sent < 8 << 20  # what lies in the sockets
    if answer:  # a reset may have come before it
        assert answer.startswith(b"HTTP/1.1 4")


def test_what_is_not_http_is_a_problem(hasty: Server) -> None:
    with connected(hasty) as connection:
        connection.sendall(b"HELO there\r\n\r\n")
        header, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
    assert header.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in header
    assert json.loads(body)["type"] == ProblemType.BAD_REQUEST.uri


def test_an_answer_has_to_be_taken(hasty: Server, portrait: bytes) -> None:
    job = hasty.client.post(
        "/v1/images", files={"portrait": portrait}, data={"motion": '{"controls": {"yaw": 20}}'}
    ).json()["id"]
    size = 50 << 20
    hasty.succeed(job, bytes(size))
    with connected(hasty) as connection:
        connection.sendall(head("GET", f"/v1/jobs/{job}/result") + b"\r\n")
        time.sleep(4 * LIMIT_S)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while got := connection.recv(1 << 20):
                taken += len(got)
    assert taken < size
    assert hasty.client.get(f"/v1/jobs/{job}/result").content == bytes(size)  # whoever takes it gets it


def test_an_upgrade_is_not_made_but_answered(hasty: Server) -> None:
    with connected(hasty) as connection:
        connection.sendall(head("GET", "/healthz", Connection="Upgrade", Upgrade="h2c") + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_stream_of_events_may_be_quiet_for_longer(hasty: Server, portrait: bytes) -> None:
    form = {"portrait": portrait}
    job = hasty.client.post("/v1/images", files=form, data={"motion": '{"controls": {"yaw": 20}}'}).json()["id"]
    with hasty.client.stream("GET", f"/v1/jobs/{job}/events") as response:
        time.sleep(3 * LIMIT_S)
        hasty.client.post(f"/v1/jobs/{job}/cancel")
        assert '"canceled"' in response.read().decode()


def test_many_slow_clients_do_not_keep_others_waiting(start: Start) -> None:
    server = start(header_timeout_s=15)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(server)) for _ in range(200)]
        for connection in slow:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nA:")
        assert server.client.get("/healthz").status_code == 200
        assert select(slow, [], [], 0)[0] == []  # none was given up before
