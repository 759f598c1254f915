"""Clients of live sessions that say what they may not, too much of it, or nothing: none disturbs another."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.frames import Frame, Opcode

from jobs.live import CAMERA, MAX_CAMERA_BYTES, MAX_SOUND_BYTES, MAX_TEXT_BYTES, SOUND
from jobs.problems import ProblemType
from service.running.websockets import SLICE_BYTES, BoundedWebSocket
from tests.service.conftest import Server, Start
from tests.service.live.conftest import (
    JPEG,
    YAW,
    connected,
    keep,
    nothing_left,
    session,
    start_message,
)
from tests.service.live.test_handshakes import UPGRADE
from tests.service.running.test_slow_clients import connected as raw
from tests.service.running.test_slow_clients import head
from tests.support.processes import until

DEEP = '{"type": "controls", "controls": ' + "[" * 5000 + "]" * 5000 + "}"


def controls(**values: Any) -> dict[str, Any]:
    return {"type": "controls", "controls": values}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (controls(yaw=200), ProblemType.INVALID_MOTION),
        (controls(nose=1), ProblemType.INVALID_MOTION),
        ('{"type": "controls", "controls": {"yaw": NaN}}', ProblemType.INVALID_REQUEST),
        (controls(yaw="left"), ProblemType.INVALID_REQUEST),
        ({"type": "controls"}, ProblemType.INVALID_REQUEST),
        ({**YAW, "more": 1}, ProblemType.INVALID_REQUEST),
        ({**YAW, "number": -1}, ProblemType.INVALID_REQUEST),
        ({**YAW, "number": 2**54}, ProblemType.INVALID_REQUEST),
        ({"type": "motion", "motion": {"space": "open478", "coefficients": [1, 2]}}, ProblemType.INVALID_MOTION),
        ({"type": "motion", "motion": {"space": "other", "coefficients": [1] * 6}}, ProblemType.WRONG_MOTION_SPACE),
        ({"type": "motion", "motion": {"keyframes": [{"t": 0, "controls": {}}]}}, ProblemType.INVALID_MOTION),
        ({"type": "drive", "by": "thought"}, ProblemType.INVALID_REQUEST),
        ({"type": "drive", "by": "sound", "options": {"pose_scale": 100}}, ProblemType.INVALID_REQUEST),
        ({"type": "end", "now": True}, ProblemType.INVALID_REQUEST),
        (SOUND + b"\0\0\0", ProblemType.UNREADABLE_MEDIA),
        (CAMERA + b"GIF89a", ProblemType.UNSUPPORTED_MEDIA),
        (CAMERA, ProblemType.UNREADABLE_MEDIA),
    ],
)
def test_a_message_is_refused_and_the_session_goes_on(
    server: Server, portrait_id: str, message: Any, kind: ProblemType
) -> None:
    with session(server, portrait_id) as (client, worker):
        client.say(message)
        client.refused(kind)
        client.say(YAW)
        assert worker.state().number == 1
        worker.show()
        assert client.see()[1] == JPEG


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("", ProblemType.BAD_REQUEST),
        ("hello", ProblemType.BAD_REQUEST),
        (DEEP, ProblemType.BAD_REQUEST),
        ("[]", ProblemType.INVALID_REQUEST),
        ("null", ProblemType.INVALID_REQUEST),
        ({}, ProblemType.INVALID_REQUEST),
        ({"type": "stop"}, ProblemType.INVALID_REQUEST),
        ({"type": ["end"]}, ProblemType.INVALID_REQUEST),
        (start_message("0" * 32), ProblemType.INVALID_REQUEST),
        (json.dumps({"type": "end", "x": "x" * MAX_TEXT_BYTES}), ProblemType.TOO_LARGE),
        (b"", ProblemType.INVALID_REQUEST),
        (b"\x09data", ProblemType.INVALID_REQUEST),
        (SOUND + bytes(MAX_SOUND_BYTES + 2), ProblemType.TOO_LARGE),
        (CAMERA + JPEG + bytes(MAX_CAMERA_BYTES), ProblemType.TOO_LARGE),
    ],
)
def test_what_is_no_message_ends_the_session(server: Server, portrait_id: str, message: Any, kind: ProblemType) -> None:
    with session(server, portrait_id) as (client, _):
        client.say(message)
        client.refused(kind)
        assert client.ended() == 1008
    nothing_left(server)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (YAW, ProblemType.INVALID_REQUEST),
        (SOUND + bytes(640), ProblemType.INVALID_REQUEST),
        ({"type": "start"}, ProblemType.INVALID_REQUEST),
        (start_message("0" * 32, size=5000), ProblemType.INVALID_REQUEST),
        (start_message("0" * 32), ProblemType.NO_SUCH_PORTRAIT),
        (start_message("../../etc"), ProblemType.NO_SUCH_PORTRAIT),
        ("nothing", ProblemType.BAD_REQUEST),
    ],
)
def test_a_session_begins_with_its_start(server: Server, message: Any, kind: ProblemType) -> None:
    with connected(server) as client:
        client.say(message)
        client.refused(kind)
        assert client.ended() == 1008


def test_a_message_beyond_all_bounds_is_not_read(server: Server, portrait_id: str) -> None:
    with session(server, portrait_id) as (client, _):
        with contextlib.suppress(Exception):  # it may be closed while it is sent
            client.say(bytes(64 << 20))
        assert client.ended() in (1009, 1006)  # what lies unread makes a reset of the end
    nothing_left(server)


@pytest.mark.parametrize(
    "messages",
    [[YAW] * 2000, [SOUND + bytes(MAX_SOUND_BYTES)] * 40, ["{}"] * 2000, [b""] * 2000],
    ids=["controls", "sound", "no messages", "empty"],
)
def test_messages_may_not_come_too_fast(server: Server, portrait_id: str, messages: list[Any]) -> None:
    with session(server, portrait_id) as (client, _):
        with contextlib.suppress(Exception):
            client.say(*messages)
        assert client.ended() == 1008
    nothing_left(server)


def test_the_problem_of_what_comes_too_fast_is_told(server: Server, portrait_id: str) -> None:
    with session(server, portrait_id) as (client, _):
        client.say(*[YAW] * 130)
        client.refused(ProblemType.TOO_MANY_REQUESTS)
        assert client.ended() == 1008


@contextlib.contextmanager
def handshaken(server: Server) -> Iterator[socket.socket]:
    """A connection on which frames may be sent as one likes."""
    with raw(server) as line:
        line.sendall(head("GET", "/v1/live", **{**UPGRADE, "Host": urlsplit(server.url).netloc}) + b"\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 101 ")
        yield line


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


@pytest.mark.parametrize(
    "frames",
    [
        [frame(Opcode.PING, b"p")] * 5000,
        [frame(Opcode.TEXT, fin=False), *[frame(Opcode.CONT, fin=False)] * 5000],
        [frame(Opcode.BINARY, b"\1", fin=False), *[frame(Opcode.CONT, b"\0", fin=False)] * 200],
        [frame(Opcode.TEXT, b"\xff\xfe")],
        [b"\x8f\x80mask"],  # an opcode that there is not
        [b"\x81\x05hello"],  # not masked
        [b"\xc1\x80mask"],  # compressed, though nothing of the kind was agreed
        [b"\x82\xff\x7f" + b"\xff" * 7 + b"mask"],  # 2**63 bytes
    ],
    ids=["pings", "empty fragments", "many fragments", "no UTF-8", "opcode", "unmasked", "compressed", "length"],
)
def test_frames_that_may_not_be_end_the_connection(server: Server, frames: list[bytes]) -> None:
    told = b""
    with handshaken(server) as line, contextlib.suppress(ConnectionError):
        line.sendall(b"".join(frames))
        while got := line.recv(65_536):
            told += got
    assert ProblemType.TOO_SLOW.uri.encode() not in told  # it has not waited until its start was due
    until(lambda: not server.front_end.server_state.connections - http(server), "a connection is left")


def http(server: Server) -> set[Any]:
    """The connections that are none of WebSockets."""
    return {each for each in server.front_end.server_state.connections if not hasattr(each, "conn")}


@pytest.fixture
def brisk(start: Start, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that is less patient with who does not answer."""
    monkeypatch.setattr("service.running.connections.SILENT_S", 2.0)
    return start()


def test_who_takes_no_pictures_misses_them_and_is_cut_off(
    server: Server, portrait_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session(server, portrait_id, max_queue=1) as (_, worker):
        monkeypatch.setattr("service.running.websockets.SILENT_S", 0.5)
        for _ in range(100):  # more than lies on the way
            worker.show(JPEG + os.urandom(100_000))
        until(
            lambda: worker.show(JPEG + os.urandom(100_000)) or not server.context.store.live.count(),
            "a dead client's is not closed",
            every_s=0.01,
        )
    nothing_left(server)


def test_who_is_slow_gets_the_newest_picture(server: Server, portrait_id: str) -> None:
    """However many were made meanwhile: one is on its way, one waits, and the next is the last."""
    url = server.client.base_url
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # what lies at the client is the client's
        line.connect((url.host, url.port))
        with session(server, portrait_id, sock=line, max_queue=1) as (client, worker):
            for _ in range(50):
                worker.show(JPEG + os.urandom(100_000))
                time.sleep(0.01)
            seen = [client.see()[0]["picture"]]
            while seen[-1] < 50:
                seen.append(client.see()[0]["picture"])
    assert len(seen) <= 4, seen


def test_a_client_that_is_gone_is_noticed(brisk: Server, portrait: bytes) -> None:
    """As where a router has cut its connection without a word."""
    portrait_id = keep(brisk, portrait)
    with handshaken(brisk) as line:
        line.sendall(frame(Opcode.TEXT, json.dumps(start_message(portrait_id)).encode()))
        until(lambda: brisk.context.store.live.count() == 1, "no session")
        until(lambda: not brisk.context.store.live.count(), "it is not noticed")
    nothing_left(brisk)


def test_a_client_that_only_says_nothing_is_not_gone(brisk: Server, portrait: bytes) -> None:
    portrait_id = keep(brisk, portrait)
    with handshaken(brisk) as line:
        line.sendall(frame(Opcode.TEXT, json.dumps(start_message(portrait_id)).encode()))
        pings = 0
        while pings < 3:
            data = line.recv(65_536)
            assert data, "it is cut off"
            if (at := data.find(b"\x89\x04")) >= 0:
                line.sendall(frame(Opcode.PONG, data[at + 2 : at + 6]))
                pings += 1
        assert brisk.context.store.live.count() == 1
    nothing_left(brisk)


@pytest.mark.parametrize("reset", [True, False])
def test_a_client_that_goes_without_a_word_leaves_nothing(server: Server, portrait_id: str, *, reset: bool) -> None:
    with handshaken(server) as line:
        line.sendall(frame(Opcode.TEXT, json.dumps(start_message(portrait_id)).encode()))
        until(lambda: server.context.store.live.count() == 1, "no session")
        if reset:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    nothing_left(server)


def test_one_that_floods_does_not_disturb_another(
    start: Start, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the flood next to nothing is read, and little at a time."""
    read = list[int]()
    handle = BoundedWebSocket.handle_events
    monkeypatch.setattr(
        BoundedWebSocket, "handle_events", lambda line: (read.append(len(line.conn.events)), handle(line))
    )
    server = start(live_workers=2)
    for number in range(3):
        server.context.store.workers.beat(f"machine:{number}", {"state": "ready"})
    with session(server, keep(server, portrait)) as (client, worker):
        for number in range(30):
            with contextlib.suppress(ConnectionError), handshaken(server) as line:
                line.sendall(frame(Opcode.PING) * 20_000)
            client.say({**YAW, "number": number})
            assert worker.state().number == number
            worker.show()
            client.see()
    assert 1000 < sum(read) < 30 * 20_000 / 4
    assert max(read) <= SLICE_BYTES / len(frame(Opcode.PING)) + 1
