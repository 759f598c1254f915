"""A client of live sessions, and the worker's part of them for tests to play."""

import contextlib
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from jobs.live import SUBPROTOCOL, LiveState, PictureHeader
from jobs.problems import ProblemType
from jobs.store.live import LiveClaim
from jobs.store.live_streams import LiveEnd
from jobs.store.names import Key
from tests.service.conftest import Server
from tests.support.processes import PATIENCE_S, until

JPEG = b"\xff\xd8\xff\xe0 a picture"
YAW = {"type": "controls", "controls": {"yaw": 10}, "number": 1}


def key_protocol(key: str) -> str:
    """A key as browsers send it."""
    return "key." + urlsafe_b64encode(key.encode()).decode().rstrip("=")


@dataclass
class Client:
    """A WebSocket to /v1/live."""

    socket: ClientConnection

    def say(self, *messages: dict[str, Any] | str | bytes) -> None:
        for message in messages:
            self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    def hear(self) -> dict[str, Any]:
        """The next message that is none of pictures."""
        text = self.socket.recv(PATIENCE_S)
        assert isinstance(text, str), text[:100]
        return cast("dict[str, Any]", json.loads(text))

    def see(self) -> tuple[dict[str, Any], bytes]:
        """The next message, a picture."""
        data = self.socket.recv(PATIENCE_S)
        assert isinstance(data, bytes), data
        length = int.from_bytes(data[:2], "big")
        return json.loads(data[2 : 2 + length]), data[2 + length :]

    def refused(self, kind: ProblemType) -> dict[str, Any]:
        """The next message, a problem of this kind."""
        told = self.hear()
        while told["type"] == "waiting":
            told = self.hear()
        problem: dict[str, Any] = told["problem"]
        assert told == {"type": "problem", "problem": problem}
        assert (problem["status"], problem["title"]) == (kind.status, kind.title), problem
        assert problem["type"].endswith(kind.uri)
        assert problem["type"].startswith("http://127.0.0.1:")
        assert problem["instance"].endswith("/v1/live")
        return problem

    def ended(self) -> int:
        """The code that the server closes with; what comes before is left out."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.socket.recv(PATIENCE_S)
        assert self.socket.close_code is not None
        return self.socket.close_code


@contextlib.contextmanager
def connected(
    server: Server, *, key: str | None = None, offered: tuple[str, ...] = (), **options: Any
) -> Iterator[Client]:
    """A client at a server, with a key among its subprotocols, and others that it offers."""
    protocols = [*offered, *([SUBPROTOCOL, key_protocol(key)] if key else [])]
    url = options.pop("url", server.url.replace("http", "ws") + "/v1/live")
    given: dict[str, Any] = {
        "proxy": None,
        "compression": None,
        "close_timeout": 3,
        "open_timeout": PATIENCE_S,
        **options,
    }
    with connect(url, subprotocols=[Subprotocol(each) for each in protocols] or None, **given) as socket:
        yield Client(socket)


@dataclass
class Worker:
    """The worker's end of a session, which it has taken. It beats until it dies."""

    server: Server
    claim: LiveClaim
    end: LiveEnd
    died: threading.Event = field(default_factory=threading.Event)
    pictures: int = 0

    def beat(self) -> None:
        while not self.died.wait(0.2) and self.server.context.store.live.beat(self.claim, worker="w", pictures=0):
            pass

    def state(self) -> LiveState:
        """The next state that it is told."""
        states = list[LiveState | None]()
        until(lambda: states.append(self.end.read(1).state) or states[-1], "nothing came", every_s=0)
        assert states[-1] is not None
        return states[-1]

    def show(self, jpeg: bytes = JPEG) -> None:
        self.pictures += 1
        self.end.show(PictureHeader(picture=self.pictures, number=None, at=1.0, seen=True), jpeg)

    def start(self) -> None:
        self.end.tell(json.dumps({"type": "started", "session": self.claim.session_id}))


def sessions(server: Server) -> list[str]:
    """The ids of the sessions there are."""
    with redis.Redis.from_url(server.context.settings.redis_url, decode_responses=True) as client:
        return cast("list[str]", client.zrange(Key.LIVE, 0, -1))


def keys_of_sessions(server: Server) -> list[str]:
    """What Redis holds of sessions."""
    with redis.Redis.from_url(server.context.settings.redis_url, decode_responses=True) as client:
        return list(client.scan_iter(f"{Key.LIVE_SESSION}*"))


def nothing_left(server: Server) -> None:
    """Wait until nothing of a session is left, so that another one may begin."""
    until(lambda: not sessions(server) and not keys_of_sessions(server), "a session is left")


@contextlib.contextmanager
def working(server: Server, session_id: str | None = None) -> Iterator[Worker]:
    """A worker that takes a session: the one that there is."""
    if session_id is None:
        until(lambda: sessions(server), "no session")
        (session_id,) = sessions(server)
    claims: list[LiveClaim] = []

    def took() -> bool:
        claim = server.context.store.live.take(session_id, "w:1")
        claims.extend([claim] if claim else [])
        return bool(claims)

    until(took, "it is taken")
    worker = Worker(server, claims[0], LiveEnd(server.context.settings.redis_url, claims[0]))
    beating = threading.Thread(target=worker.beat)
    beating.start()
    try:
        yield worker
    finally:
        worker.died.set()
        beating.join()
        worker.end.close()


@contextlib.contextmanager
def session(server: Server, portrait_id: str, **options: Any) -> Iterator[tuple[Client, Worker]]:
    """A session that has begun."""
    with connected(server, **options) as client:
        client.say(start_message(portrait_id))
        assert client.hear()["type"] == "waiting"
        with working(server) as worker:
            worker.start()
            assert client.hear()["type"] == "started"
            yield client, worker


@pytest.fixture
def portrait_id(server: Server, portrait: bytes) -> str:
    return keep(server, portrait)


def keep(server: Server, portrait: bytes, **headers: str) -> str:
    """Keep a portrait; its id."""
    answer = server.client.post("/v1/portraits", files={"portrait": portrait}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def start_message(portrait_id: str, **options: Any) -> dict[str, Any]:
    return {"type": "start", "portrait_id": portrait_id, "options": options}
