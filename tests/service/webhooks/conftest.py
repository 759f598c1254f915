"""A real receiver on this machine, and what tests of webhooks ask of a server."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.service.conftest import Server
from tests.service.routes.test_create import YAW
from tests.support.processes import until


@dataclass
class Receiver:
    """Answers with the statuses in turn, the last one ever after; keeps what came and when."""

    statuses: list[int]
    url: str = ""
    received: list[tuple[float, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def inside(self) -> str:
        """The same by a public name that leads to this machine, where the fixture `inside` makes it do so."""
        return f"https://inside.example:{self.url.split(':')[2].split('/')[0]}/"


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    servers: list[ThreadingHTTPServer] = []

    def start(*statuses: int) -> Receiver:
        receiver = Receiver(list(statuses))

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append((time.monotonic(), headers, body))
                status = receiver.statuses[min(len(receiver.received), len(receiver.statuses)) - 1]
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        return receiver

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes inside.example a name of this machine; lists how often it was asked for."""
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def inward(host: Any, *rest: Any, **keywords: Any) -> Any:
        if host == "inside.example":
            looked_up.append(host)
            host = "127.0.0.1"
        return real(host, *rest, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", inward)
    return looked_up


def create(
    server: Server, portrait: bytes, url: str, events: list[str] | None = None, **headers: str
) -> httpx.Response:
    webhook: dict[str, Any] = {"url": url, **({"events": events} if events is not None else {})}
    data = {"motion": YAW, "webhook": json.dumps(webhook)}
    return server.client.post("/v1/images", files={"portrait": portrait}, data=data, headers=headers)


def state(server: Server, job_id: str, **headers: str) -> dict[str, Any]:
    webhook: dict[str, Any] = server.client.get(f"/v1/jobs/{job_id}", headers=headers).json()["webhook"]
    return webhook


def ended(server: Server, job_id: str, **headers: str) -> str:
    """How it ended with a job's webhook, when it has."""
    until(
        lambda: state(server, job_id, **headers)["status"] != "pending", lambda: str(state(server, job_id, **headers))
    )
    return str(state(server, job_id, **headers)["status"])


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver checks, in the words of the specification."""
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    digest = hmac.new(base64.b64decode(secret.split("_", 1)[1]), signed, hashlib.sha256).digest()
    given = [each.split(",", 1) for each in headers["webhook-signature"].split(" ")]
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return fresh and any(version == "v1" and base64.b64decode(value) == digest for version, value in given)
