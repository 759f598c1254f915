"""What became of webhooks, and tests of them."""

import contextlib
import json
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from jobs.problems import ProblemType
from service.access.keys import KeyFile, KeyScope
from service.settings import Settings
from tests.service.conftest import BOTH, FIRST, SECOND, Server, Start
from tests.service.routes.test_create import refused
from tests.service.webhooks.conftest import Receiver, create, ended, verified
from tests.support.certificates import make_chain


def deliveries(server: Server, job: str | None = None, **headers: str) -> list[dict[str, Any]]:
    answer = server.client.get("/v1/webhooks/deliveries", params={"job": job} if job else {}, headers=headers)
    found: list[dict[str, Any]] = answer.raise_for_status().json()["deliveries"]
    return found


def probe(server: Server, url: str, **headers: str) -> httpx.Response:
    return server.client.post("/v1/webhooks/test", json={"url": url}, headers=headers)


def test_deliveries_are_listed_for_their_owner_alone(
    start: Start, portrait: bytes, receive: Callable[..., Receiver]
) -> None:
    server = start(api_keys=BOTH, webhook_private=True, webhook_backoff="0.1")
    receiver = receive(503, 204, 410)
    first: dict[str, Any] = {"X-API-Key": FIRST}
    second = {"X-API-Key": SECOND}
    jobs = [create(server, portrait, receiver.url, **first).json()["id"] for _ in range(2)]
    for job in jobs:
        server.succeed(job)
        ended(server, job, **first)
    listed = deliveries(server, **first)
    assert [(each["job_id"], each["attempt"], each["status"], each["outcome"]) for each in listed] == [
        (jobs[1], 1, 410, "failed"), (jobs[0], 2, 204, "delivered"), (jobs[0], 1, 503, "pending"),
    ]  # fmt: skip
    assert {(each["event"], each["url"], each["error"]) for each in listed} == {("job.succeeded", receiver.url, None)}
    assert all(0 <= each["seconds"] < 15 for each in listed)
    assert deliveries(server, jobs[0], **first) == listed[1:]
    assert deliveries(server, jobs[0], **second) == deliveries(server, **second) == []


@pytest.mark.parametrize(("statuses", "outcome"), [((204,), "delivered"), ((500,), "failed"), ((302,), "failed")])
def test_a_test_is_answered_with_what_the_receiver_said(
    start: Start, receive: Callable[..., Receiver], statuses: tuple[int, ...], outcome: str
) -> None:
    server = start(webhook_private=True)
    receiver = receive(*statuses)
    answer = probe(server, receiver.url)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["outcome"], told["status"], told["error"]) == (outcome, statuses[0], None)
    ((_, headers, body),) = receiver.received
    assert headers["webhook-id"] == told["message_id"]
    assert verified(server.client.get("/v1/webhooks/secret").json()["secret"], headers, body)
    assert json.loads(body)["type"] == "webhook.test"
    assert deliveries(server) == []


def test_a_test_of_one_that_says_nothing_or_is_not_there_tells_so(start: Start) -> None:
    server, hurried = start(webhook_private=True), start(webhook_private=True, webhook_timeout_s=0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        hung = probe(hurried, url).json()
    away = probe(server, url).json()
    assert [(each["status"], each["outcome"]) for each in (hung, away)] == [(None, "failed")] * 2
    assert [each["error"] for each in (hung, away)] == ["no answer came in time", "no connection came about"]
    assert hung["seconds"] >= 0.5


def plainly(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def vouched_for_by_nobody(connection: socket.socket) -> None:
    with TemporaryDirectory() as folder:
        make_chain().write(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(folder, "chain.pem"), Path(folder, "key.pem"))
    with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True):
        pass


@pytest.mark.parametrize(
    ("talk", "error"),
    [
        (plainly, "its host does not speak TLS as it has to"),
        (vouched_for_by_nobody, "its certificate is not valid (self-signed certificate in certificate chain)"),
    ],
)
def test_a_test_of_one_that_cannot_be_trusted_tells_so(
    start: Start, talk: Callable[[socket.socket], None], error: str
) -> None:
    server = start(webhook_private=True)
    with socket.create_server(("127.0.0.1", 0)) as receiver, ThreadPoolExecutor(1) as threads:

        def answer() -> None:
            with receiver.accept()[0] as connection:
                talk(connection)

        answered = threads.submit(answer)
        told = probe(server, f"https://127.0.0.1:{receiver.getsockname()[1]}/").json()
        answered.result()
    assert told["error"] == error


def test_where_a_name_leads_is_not_told(
    start: Start, portrait: bytes, receive: Callable[..., Receiver], inside: list[str]
) -> None:
    server = start()
    receiver = receive(200)
    told = probe(server, receiver.inside)
    assert (told.status_code, told.json()["status"]) == (200, None)
    job_id = create(server, portrait, receiver.inside).json()["id"]
    server.succeed(job_id)
    assert ended(server, job_id) == "failed"
    job, listed = (server.client.get(path) for path in (f"/v1/jobs/{job_id}", "/v1/webhooks/deliveries"))
    errors = [told.json(), *job.json()["webhook"]["deliveries"], *listed.json()["deliveries"]]
    assert [each["error"] for each in errors] == ["it leads to an address that is not public"] * 3
    assert not [each.text for each in (told, job, listed) if "127.0.0.1" in each.text.replace(server.url, "")]
    assert (len(inside), receiver.received) == (2, [])


@pytest.mark.parametrize(
    ("body", "problem", "text"),
    [
        (b'{"url": "http://example.org/"}', ProblemType.INVALID_WEBHOOK, "its scheme is 'http'"),
        (b'{"url": "https://10.0.0.1/"}', ProblemType.INVALID_WEBHOOK, "10.0.0.1 is not a public address"),
        (b'{"url": "https://example.org/", "body": "mine"}', ProblemType.INVALID_WEBHOOK, "webhook.body"),
        (b"{}", ProblemType.INVALID_WEBHOOK, "webhook.url: Field required"),
        (b"", ProblemType.BAD_REQUEST, "Invalid JSON"),
        (b"\xff", ProblemType.BAD_REQUEST, "Invalid JSON"),
        (b" " * 4097, ProblemType.TOO_LARGE, "allowed are 4096"),
    ],
)
def test_a_bad_address_is_refused(server: Server, body: bytes, problem: ProblemType, text: str) -> None:
    answer = server.client.post("/v1/webhooks/test", content=body, headers={"Content-Type": "application/json"})
    assert text in refused(answer, problem)["detail"]


def test_tests_are_counted(start: Start, receive: Callable[..., Receiver]) -> None:
    server = start(api_keys=BOTH, webhook_private=True)
    receiver = receive(204)
    answers = [probe(server, receiver.url, **{"X-API-Key": FIRST}) for _ in range(12)]
    assert [each.status_code for each in answers[:10]] == [200] * 10
    problem = refused(answers[-1], ProblemType.TOO_MANY_REQUESTS)
    assert "10/minute for tests of webhooks" in problem["detail"]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 120
    assert probe(server, receiver.url, **{"X-API-Key": SECOND}).status_code == 200


def test_tests_need_a_key_that_may_write(start: Start, receive: Callable[..., Receiver]) -> None:
    server = start(webhook_private=True)
    receiver = receive(204)
    settings: Settings = server.context.settings
    key = KeyFile(settings.keys_path).make("team", scopes=frozenset({KeyScope.READ}))[0]
    refused(probe(server, receiver.url, **{"X-API-Key": key}), ProblemType.FORBIDDEN)
    assert deliveries(server, **{"X-API-Key": key}) == []
    refused(probe(server, receiver.url), ProblemType.UNAUTHORIZED)
    assert receiver.received == []
