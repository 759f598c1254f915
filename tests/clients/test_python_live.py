"""Live sessions of the Python client: against a server that says what a test has it say."""

import asyncio
import json
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from pirenderer_client import (
    AsyncClient,
    Client,
    ConnectionFailedError,
    InvalidRequestError,
    Live,
    LivePicture,
    Portrait,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
)
from tests.support.processes import PATIENCE_S, until

PORTRAIT = Portrait("image/jpeg", 1, "0" * 64, "a" * 32, width=1, height=1, expires_at="")
STARTED = json.dumps({"type": "started", "session": "b" * 32, "width": 64, "height": 64, "space": "open478"})

Script = Callable[["Stage", ServerConnection], object]  # what is done once a session has begun


def picture(count: int, **more: Any) -> bytes:
    header = json.dumps({"picture": count, "number": None, "at": count / 25, **more, "newer": 1}).encode()
    return struct.pack(">H", len(header)) + header + b"JPEG %d" % count


def problem(status: int, name: str) -> str:
    document = {"type": f"https://portraits.example/problems/{name}", "title": "No", "status": status, "detail": "so"}
    return json.dumps({"type": "problem", "problem": {**document, "got": 99}})


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, "", Headers({"Content-Length": str(len(body)), **fields}), body)


class Stage:
    """A service that takes sessions: each goes by the next script, the last of them for all that follow."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.answers: list[Response] = []  # in place of the first upgrades
        self.requests: list[Request] = []
        self.heard: list[list[Any]] = []  # by session
        self.url = ""

    def hear(self, line: ServerConnection) -> Any:
        """The next message: a document, or bytes."""
        message = line.recv(10)
        self.heard[-1].append(message if isinstance(message, bytes) else json.loads(message))
        return self.heard[-1][-1]

    def ask(self, line: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return self.answers.pop(0) if self.answers else None

    def take(self, line: ServerConnection) -> None:
        self.heard.append([])
        try:
            self.hear(line)
            line.send(STARTED)
            (self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0])(self, line)
        except ConnectionClosed:
            pass
        line.close()


@contextmanager
def staged(stage: Stage) -> Iterator[Stage]:
    with serve(
        stage.take, "127.0.0.1", 0, process_request=stage.ask, subprotocols=[Subprotocol("pirenderer.live.v1")]
    ) as server:
        stage.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}/base"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield stage
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def live(stage: Stage, *, retries: int = 3, **options: Any) -> Iterator[Live]:
    with staged(stage):
        client = Client(stage.url, api_key="key", retries=retries)
        with client, client.live(PORTRAIT, **options) as session:
            yield session


def listen(stage: Stage, line: ServerConnection) -> None:
    """Until the client ends it."""
    while stage.hear(line) != {"type": "end"}:
        pass


def close(code: int, *messages: str | bytes) -> Script:
    """Says this, and closes."""

    def script(_: Stage, line: ServerConnection) -> None:
        for message in messages:
            line.send(message)
        line.close(code)

    return script


def cut(_: Stage, line: ServerConnection) -> None:
    """The line breaks."""
    line.socket.shutdown(2)


def test_what_is_sent_and_what_comes() -> None:
    def script(stage: Stage, line: ServerConnection) -> None:
        for _ in range(6):
            stage.hear(line)
        line.send(json.dumps({"type": "news", "of": "a newer service"}))
        line.send(picture(1, number=2, seen=True))
        listen(stage, line)

    stage = Stage(script)
    with live(stage, size=64, face=None) as session:
        session.drive("camera", pose_scale=0.5)
        assert session.controls(yaw=10, smile=0.5, relative=False) == 1
        assert session.motion({"controls": {}}) == 2
        session.hear(b"\0\1")
        session.look(b"\xff\xd8")
        session.recenter()
        assert next(session) == LivePicture(b"JPEG 1", 1, 2, 0.04, seen=True)
        assert session.waiting is None
    assert stage.heard == [
        [
            {"type": "start", "portrait_id": "a" * 32, "options": {"size": 64, "face": None}},
            {"type": "drive", "by": "camera", "options": {"pose_scale": 0.5}},
            {"type": "controls", "controls": {"yaw": 10, "smile": 0.5}, "relative": False, "number": 1},
            {"type": "motion", "motion": {"controls": {}}, "number": 2},
            b"\x01\0\1",
            b"\x02\xff\xd8",
            {"type": "recenter"},
            {"type": "end"},
        ]
    ]
    request = stage.requests[0]
    assert (request.path, request.headers["authorization"]) == ("/base/v1/live", "Bearer key")
    assert request.headers["sec-websocket-protocol"] == "pirenderer.live.v1"


def test_who_is_slow_sees_the_newest_alone() -> None:
    def script(stage: Stage, line: ServerConnection) -> None:
        for number in range(100):
            line.send(picture(number))
        line.send(json.dumps({"type": "waiting", "detail": "for a worker"}))
        listen(stage, line)

    with live(Stage(script)) as session:
        until(lambda: session.waiting == "for a worker", "nothing was told")
        assert next(session).picture == 99


def test_who_iterates_with_await_does_so_too() -> None:
    stage = Stage(close(1000, picture(1)))

    async def watched() -> list[LivePicture]:
        async with AsyncClient(stage.url) as client, client.live(PORTRAIT) as session:
            return [each async for each in session]

    with staged(stage):
        assert [each.jpeg for each in asyncio.run(watched())] == [b"JPEG 1"]


def test_what_is_refused_is_raised_and_the_session_goes_on() -> None:
    def script(stage: Stage, line: ServerConnection) -> None:
        stage.hear(line)
        line.send(problem(422, "invalid-motion"))
        stage.hear(line)
        close(1000, picture(7))(stage, line)

    with live(Stage(script)) as session:
        session.controls(yaw=99)
        with pytest.raises(InvalidRequestError) as caught:
            next(session)
        assert (caught.value.name, caught.value.got) == ("invalid-motion", 99)
        session.controls(yaw=9)
        assert [each.picture for each in session] == [7]
        with pytest.raises(ServiceError, match="has ended"):
            session.controls(yaw=9)
    with pytest.raises(ServiceError, match="has ended"):
        session.controls(yaw=9)


def test_the_problem_that_ends_a_session_is_raised_ever_after() -> None:
    with live(stage := Stage(close(1008, problem(503, "live-unavailable")))) as session:
        for ask in (lambda: next(session), lambda: next(session), session.recenter):
            with pytest.raises(UnavailableError) as caught:
                ask()
            assert caught.value.name == "live-unavailable"
    assert len(stage.requests) == 1


@pytest.mark.parametrize("end", [close(1001), close(1011), cut])
def test_a_line_that_broke_is_opened_again_with_the_last_state(end: Script) -> None:
    def first(stage: Stage, line: ServerConnection) -> None:
        for _ in range(4):
            stage.hear(line)
        end(stage, line)

    def second(stage: Stage, line: ServerConnection) -> None:
        stage.hear(line)
        stage.hear(line)
        line.send(picture(1, number=2))
        stage.hear(line)
        close(1000)(stage, line)

    with live(stage := Stage(first, second)) as session:
        session.controls(yaw=1)
        session.drive("sound", seed=7)
        session.controls(yaw=2)
        session.hear(b"\0\0")
        assert next(session).number == 2
        assert session.controls(yaw=3) == 3
        assert list(session) == []
    assert stage.heard[1] == [
        {"type": "start", "portrait_id": "a" * 32, "options": {}},
        {"type": "controls", "controls": {"yaw": 2}, "relative": True, "number": 2},
        {"type": "drive", "by": "sound", "options": {"seed": 7}},
        {"type": "controls", "controls": {"yaw": 3}, "relative": True, "number": 3},
    ]


def test_a_session_that_does_not_end_is_left() -> None:
    release, released = threading.Event(), list[bool]()
    with staged(stage := Stage(lambda *_: released.append(release.wait(PATIENCE_S)))), Client(stage.url) as client:
        with client.live(PORTRAIT):
            pass
        assert released == []
        release.set()


def test_attempts_are_bounded() -> None:
    with live(stage := Stage(cut), retries=2) as session, pytest.raises(ConnectionFailedError, match="broke"):
        list(session)
    assert len(stage.requests) == 3


def test_the_way_to_a_session_may_be_tried_again() -> None:
    stage = Stage(close(1000))
    away = json.dumps({"title": "Away", "status": 503, "detail": "for now"}).encode()
    stage.answers = [answer(503, away, Retry_After="0")]
    with live(stage) as session:
        assert list(session) == []
    assert len(stage.requests) == 2


def test_who_has_no_key_is_told_so() -> None:
    stage = Stage(listen)
    stage.answers = [answer(401)]
    with pytest.raises(UnauthorizedError, match="answered 401"), live(stage):
        pass


def test_the_key_goes_nowhere_else() -> None:
    with staged(elsewhere := Stage(listen)):
        stage = Stage(listen)
        stage.answers = [answer(302, Location=elsewhere.url.replace("http", "ws"))]
        with live(stage):
            pass
    assert "authorization" in stage.requests[0].headers
    assert "authorization" not in elsewhere.requests[0].headers


@pytest.mark.parametrize("said", ["no JSON", '{"no": "type"}', b"", b"\0\2{}", b"\xff\xff{}"])
def test_what_is_not_of_the_protocol_is_an_error(said: str | bytes) -> None:
    with live(Stage(close(1000, said))) as session, pytest.raises(ServiceError, match="is that the service"):
        list(session)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pirenderer-client\[live\]"), live(Stage(listen)):
        pass
