"""Who may begin a live session: keys, scopes, names and origins, and what is told to those who may not."""

import contextlib
import json
import logging
import socket
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
from websockets.exceptions import InvalidStatus

from jobs.live import SUBPROTOCOL
from jobs.problems import ProblemType
from service.access.keys import KeyFile, KeyScope
from tests.service.conftest import BOTH, FIRST, Server, Start
from tests.service.live.conftest import Client, connected, keep, key_protocol, nothing_left, session, start_message
from tests.service.routes.test_create import refused
from tests.service.running.test_slow_clients import connected as raw
from tests.service.running.test_slow_clients import head
from tests.support.processes import until

UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": 13, "Sec_WebSocket_Key": f"{'A' * 22}=="
}  # fmt: skip
HEADERS = {name.replace("_", "-"): str(value) for name, value in UPGRADE.items()}


def denied(server: Server, kind: ProblemType, **options: Any) -> dict[str, str]:
    """Check that a handshake is refused with a problem; the headers of the answer."""
    with pytest.raises(InvalidStatus) as refusal, connected(server, **options):
        pass
    response = refusal.value.response
    assert response.body is not None
    problem = json.loads(response.body)
    assert (response.status_code, urlsplit(problem["type"]).path) == (kind.status, kind.uri), problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Request-ID"]
    return dict(response.headers.raw_items())


def let_in(client: Client) -> None:
    """Check that a session would begin if there were its portrait."""
    client.say(start_message("0" * 32))
    client.refused(ProblemType.NO_SUCH_PORTRAIT)
    assert client.ended() == 1008


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"Authorization": f"Bearer {FIRST}"}},
        {"additional_headers": {"X-API-Key": FIRST}},
        {"key": FIRST},
        {"key": FIRST, "origin": "https://elsewhere.example"},  # a key is proof enough
        {"offered": ("graphql-ws",), "key": FIRST},
    ],
    ids=["bearer", "header", "subprotocol", "other origin", "among others"],
)
def test_a_key_lets_in(start: Start, options: dict[str, Any]) -> None:
    with connected(start(api_keys=BOTH), **options) as client:
        assert client.socket.subprotocol == (SUBPROTOCOL if "key" in options else None)
        let_in(client)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"offered": (SUBPROTOCOL,)},
        {"key": "wrong" * 8},
        {"offered": (SUBPROTOCOL, "key.")},
        {"offered": (SUBPROTOCOL, "key.A")},  # no base64
        {"offered": (SUBPROTOCOL, "key._w")},  # no UTF-8
        {"offered": (SUBPROTOCOL, key_protocol("wrong" * 8), key_protocol(FIRST))},  # one is asked for
        {"additional_headers": {"X-API-Key": "wrong"}, "key": FIRST},  # the header counts
    ],
)
def test_without_a_valid_key_nobody_is_let_in(start: Start, options: dict[str, Any]) -> None:
    headers = denied(start(api_keys=BOTH), ProblemType.UNAUTHORIZED, **options)
    assert headers["www-authenticate"].startswith("Bearer")


def test_a_key_needs_the_scope_write(start: Start) -> None:
    server = start()
    keys = KeyFile(server.context.settings.keys_path)
    reader, writer = (keys.make("team", scopes=frozenset({scope}))[0] for scope in (KeyScope.READ, KeyScope.WRITE))
    denied(server, ProblemType.FORBIDDEN, key=reader)
    with connected(server, key=writer) as client:
        let_in(client)


def test_a_key_that_is_revoked_ends_its_sessions(start: Start, portrait: bytes) -> None:
    server = start()
    keys = KeyFile(server.context.settings.keys_path)
    key, record = keys.make("team")
    portrait_id = keep(server, portrait, **{"X-API-Key": key})
    with session(server, portrait_id, key=key) as (client, _):
        keys.revoke(record.id)
        client.refused(ProblemType.UNAUTHORIZED)
        assert client.ended() == 1008
    nothing_left(server)


def test_a_handshake_is_a_request_of_the_rate(start: Start) -> None:
    server = start(api_keys=FIRST, rate="1/minute")
    with connected(server, key=FIRST):
        headers = denied(server, ProblemType.TOO_MANY_REQUESTS, key=FIRST)
    assert int(headers["retry-after"]) > 0


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost", "http://127.0.0.1:1"])
def test_without_keys_pages_of_other_origins_are_kept_out(server: Server, origin: str) -> None:
    denied(server, ProblemType.FORBIDDEN, origin=origin)


def test_who_is_refused_is_no_error_of_the_server(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    denied(server, ProblemType.FORBIDDEN, origin="https://evil.example")
    assert server.client.get("/healthz").status_code == 200
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_without_keys_our_own_pages_are_let_in(server: Server) -> None:
    with connected(server, origin=server.url, offered=(SUBPROTOCOL,)) as client:
        assert client.socket.subprotocol == SUBPROTOCOL
        let_in(client)


def test_without_keys_other_names_are_not_answered_to(server: Server) -> None:
    """A page may make its own name resolve to our address."""
    url = urlsplit(server.url)
    assert url.port is not None
    with socket.create_connection(("127.0.0.1", url.port)) as line:
        named = {"origin": f"http://evil.example:{url.port}", "sock": line}
        denied(server, ProblemType.FORBIDDEN, url=f"ws://evil.example:{url.port}/v1/live", **named)


def test_one_owner_arrives_a_few_at_a_time(start: Start) -> None:
    server = start(api_keys=BOTH)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server, key=FIRST)) for _ in range(4)]
        denied(server, ProblemType.TOO_MANY_REQUESTS, key=FIRST)
        with connected(server, key=BOTH.partition(",")[2]) as other:
            let_in(other)
        let_in(clients[0])
        with connected(server, key=FIRST) as client:
            let_in(client)


def test_there_may_be_none(start: Start, weights_dir: Any) -> None:
    denied(start(live_workers=0), ProblemType.LIVE_UNAVAILABLE)
    (weights_dir / "light.safetensors").unlink()
    without = start()
    denied(without, ProblemType.NO_MODEL)
    assert without.client.get("/v1/live").json()["most"] == 0


def test_what_is_offered_is_told(start: Start) -> None:
    server = start(live_idle_s=30, live_wait_s=5)
    for number in range(3):
        server.context.store.workers.beat(f"machine:{number}", {"state": "ready"})
    offer = server.client.get("/v1/live").json()
    assert {name: offer[name] for name in ("subprotocol", "sessions", "most", "drives", "idle_s", "wait_s")} == {
        "subprotocol": SUBPROTOCOL, "sessions": 0, "most": 2, "drives": ["controls", "camera", "sound"], "idle_s": 30,
        "wait_s": 5,
    }  # fmt: skip


def test_an_unknown_parameter_is_refused(server: Server) -> None:
    denied(server, ProblemType.INVALID_REQUEST, url=server.url.replace("http", "ws") + "/v1/live?key=1")


def test_what_asks_for_a_websocket_elsewhere_is_answered(server: Server) -> None:
    refused(server.client.get("/v1/nowhere", headers=HEADERS), ProblemType.NOT_FOUND)
    refused(server.client.post("/v1/live", headers=HEADERS), ProblemType.METHOD_NOT_ALLOWED)
    assert server.client.get("/v1/live/", headers=HEADERS).status_code == 404
    assert server.client.get("/healthz", headers=HEADERS).json() == {"status": "ok"}


@pytest.mark.parametrize(
    "changed",
    [{"Sec_WebSocket_Version": 8}, {"Sec_WebSocket_Key": "short"}, {"A": "a" * 10_000}, {"Content_Length": 4}],
    ids=["version", "key", "long header", "body"],
)
def test_what_is_no_handshake_ends(server: Server, changed: dict[str, Any]) -> None:
    with raw(server) as line:
        line.sendall(
            head("GET", "/v1/live", **{**UPGRADE, **changed}) + b"\r\n" + b"body" * ("Content_Length" in changed)
        )
        with line.makefile("rb") as answer:
            text = answer.read()  # until it closes
    assert text[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 431")


def test_it_is_served_under_a_path(start: Start) -> None:
    server = start(root_path="/portraits")
    url = server.url.replace("http", "ws")
    for path in ("/portraits/v1/live", "/v1/live"):
        with connected(server, url=url + path) as client:
            client.say(start_message("0" * 32))
            assert "/portraits/problems/no-such-portrait" in client.hear()["problem"]["type"]


def test_the_log_has_one_line_of_it_and_no_key(start: Start, portrait: bytes, caplog: pytest.LogCaptureFixture) -> None:
    lines: list[dict[str, Any]] = []

    def note(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
        lines.append(dict(event))
        raise structlog.DropEvent

    merge = structlog.contextvars.merge_contextvars
    structlog.configure(
        processors=[merge, note],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    caplog.set_level(logging.DEBUG)
    server = start(api_keys=FIRST)
    logging.getLogger("uvicorn.error").setLevel(logging.DEBUG)
    keep(server, portrait, **{"X-API-Key": FIRST})
    with connected(server, key=FIRST, additional_headers={"X-Request-ID": "mine"}) as client:
        assert client.socket.response is not None
        assert client.socket.response.headers["X-Request-ID"] == "mine"
        let_in(client)
    until(lambda: any(each.get("path") == "/v1/live" for each in lines), "no line")
    (line,) = (each for each in lines if each.get("path") == "/v1/live")
    assert (line["status"], line["code"], line["request_id"], line["method"]) == (101, 1008, "mine", "GET")
    assert line["seconds"] > 0
    said = json.dumps(lines, default=str)
    said += "".join(each.getMessage() for each in caplog.records if each.name.startswith("uvicorn"))  # not our client's
    assert key_protocol(FIRST).removeprefix("key.") not in said
    assert FIRST not in said
    exposition = server.client.get("/metrics", headers={"X-API-Key": FIRST}).text
    assert 'pirenderer_http_requests_total{method="GET",route="/v1/live",status="101"} 1.0' in exposition
