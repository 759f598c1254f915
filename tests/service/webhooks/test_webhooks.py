"""Webhooks, to a real receiver on this machine that fails first, and to where they must not go."""

import json
import re
import socket
import stat
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.problems import Problem, ProblemType
from service.webhooks.signing import WebhookSigner, sign
from tests.service.conftest import BOTH, FIRST, SECOND, Server, Start
from tests.service.routes.test_create import YAW, nothing_left, refused
from tests.service.webhooks.conftest import Receiver, create, ended, state, verified
from tests.support.paths import ROOT
from tests.support.processes import until


def test_the_signature_is_that_of_the_specification() -> None:
    """The example that the reference libraries of Standard Webhooks test themselves with."""
    secret, message_id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    signature = sign(secret, message_id, 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_check_in_the_documents_works() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    (example,) = re.findall(r"(?m)^    import base64.*\n(?:\n|    .*\n)+", text)
    names: dict[str, Any] = {}
    exec(textwrap.dedent(example), names)
    secret, body, now = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b"{}", int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = f"v1,{'A' * 43}= {sign(secret, 'msg_1', now, body)}"
    assert names["genuine"](secret, headers, body)
    assert not names["genuine"](secret, headers, b"[]")
    assert not names["genuine"](secret, {**headers, "webhook-timestamp": str(now - 1)}, body)
    old = {**headers, "webhook-timestamp": "1", "webhook-signature": sign(secret, "msg_1", 1, body)}
    assert not names["genuine"](secret, old, body)


def test_a_message_is_sent_again_until_it_is_taken(
    start: Start, portrait: bytes, receive: Callable[..., Receiver]
) -> None:
    server = start(api_keys=BOTH, rate="9999/second", webhook_private=True, webhook_backoff="0.3,0.9,5")
    receiver = receive(500, 302, 204)
    key: dict[str, Any] = {"X-API-Key": FIRST}
    job = create(server, portrait, receiver.url, **key).json()
    assert job["webhook"] == {
        "url": receiver.url,
        "events": ["job.succeeded", "job.failed", "job.canceled"],
        "status": "pending",
        "attempts": 0,
        "deliveries": [],
    }
    server.succeed(job["id"])
    assert ended(server, job["id"], **key) == "delivered"
    assert state(server, job["id"], **key)["attempts"] == 3
    times, headers, bodies = zip(*receiver.received, strict=True)
    assert len(bodies) == 3  # the redirect was not followed
    assert times[1] - times[0] >= 0.3
    assert times[2] - times[1] >= 0.9
    secret = server.client.get("/v1/webhooks/secret", headers=key).json()["secret"]
    other = server.client.get("/v1/webhooks/secret", headers={"X-API-Key": SECOND}).json()["secret"]
    assert all(verified(secret, each, body) for each, body in zip(headers, bodies, strict=True))
    assert not verified(other, headers[2], bodies[2])
    assert not verified(secret, headers[2], bodies[2].replace(b"succeeded", b"failed"))
    assert {each["webhook-id"] for each in headers} == {f"msg_{job['id']}"}
    assert set(bodies) == {bodies[0]}
    message = json.loads(bodies[0])
    assert (message["type"], message["data"]["id"]) == ("job.succeeded", job["id"])
    assert message["data"]["result"]["media_type"] == "image/png"
    assert server.context.store.counters().webhooks == {("delivered",): 1}


def test_only_the_events_asked_for_are_told(start: Start, portrait: bytes, receive: Callable[..., Receiver]) -> None:
    server = start(webhook_private=True)
    receiver = receive(200)
    jobs = [create(server, portrait, receiver.url, ["job.failed"]).json()["id"] for _ in range(3)]
    server.succeed(jobs[0])
    server.context.store.claims.fail(server.claim(jobs[1]), Problem.of(ProblemType.NO_FACE, "no face"))
    server.client.post(f"/v1/jobs/{jobs[2]}/cancel")
    assert [ended(server, job) for job in jobs] == ["skipped", "delivered", "skipped"]
    ((_, _, body),) = receiver.received
    data = json.loads(body)["data"]
    assert data["error"]["type"] == f"{server.url}{ProblemType.NO_FACE.uri}"
    assert data["urls"]["self"] == f"{server.url}/v1/jobs/{jobs[1]}"


@pytest.mark.parametrize(("statuses", "attempts"), [((500,), 3), ((500, 410), 2)])
def test_a_receiver_that_never_takes_it_is_given_up(
    start: Start, portrait: bytes, receive: Callable[..., Receiver], statuses: tuple[int, ...], attempts: int
) -> None:
    server = start(webhook_private=True, webhook_backoff="0.1,0.1")
    receiver = receive(*statuses)
    job_id = create(server, portrait, receiver.url).json()["id"]
    server.succeed(job_id)
    assert ended(server, job_id) == "failed"
    assert (state(server, job_id)["attempts"], len(receiver.received)) == (attempts, attempts)


def test_a_receiver_that_hangs_or_is_away_is_asked_again(start: Start, portrait: bytes) -> None:
    server = start(webhook_private=True, webhook_backoff="0.2", webhook_timeout_s=0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        job_id = create(server, portrait, url).json()["id"]
        server.succeed(job_id)
        until(lambda: state(server, job_id)["attempts"] == 1, "it is not tried")
    assert ended(server, job_id) == "failed"  # refused the second time


def test_two_front_ends_send_each_message_once(start: Start, portrait: bytes, receive: Callable[..., Receiver]) -> None:
    servers = [start(webhook_private=True) for _ in range(2)]
    receiver = receive(200)
    jobs = [create(servers[number % 2], portrait, receiver.url).json()["id"] for number in range(10)]
    for job in jobs:
        servers[0].succeed(job)
    assert {ended(servers[1], job) for job in jobs} == {"delivered"}
    ids = [headers["webhook-id"] for _, headers, _ in receiver.received]
    assert sorted(ids) == sorted(f"msg_{job}" for job in jobs)
    assert servers[0].context.signer.secret("me") == servers[1].context.signer.secret("me")


def test_without_the_setting_nothing_private_is_reached(
    start: Start, portrait: bytes, receive: Callable[..., Receiver], inside: list[str]
) -> None:
    server = start()
    receiver = receive(200)
    job_id = create(server, portrait, receiver.inside).json()["id"]
    server.succeed(job_id)
    assert ended(server, job_id) == "failed"
    assert inside
    assert state(server, job_id)["attempts"] == 1  # nor is it tried again
    assert receiver.received == []


@pytest.mark.parametrize(
    ("webhook", "text"),
    [
        ('{"url": "http://example.org/"}', "its scheme is 'http'; allowed is an https URL of a public address"),
        ('{"url": "https://127.0.0.1/"}', "127.0.0.1 is not a public address"),
        ('{"url": "https://[::1]/"}', "::1 is not a public address"),
        ('{"url": "https://169.254.169.254/latest"}', "169.254.169.254 is not a public address"),
        ('{"url": "https://user@example.org/"}', "no user"),
        ('{"url": "https:///path"}', "it needs a host"),
        ('{"url": "https://example.org:99999/"}', "Port out of range"),
        ('{"url": "file:///etc/passwd"}', "its scheme is 'file'"),
        ('{"url": "https://example.org/", "events": []}', "at least 1 item"),
        ('{"url": "https://example.org/", "events": ["job.born"]}', "'job.succeeded', 'job.failed' or 'job.canceled'"),
        ('{"uri": "https://example.org/"}', "webhook.url: Field required"),
    ],
)
def test_a_bad_webhook_is_refused(server: Server, portrait: bytes, webhook: str, text: str) -> None:
    data = {"motion": YAW, "webhook": webhook}
    response = server.client.post("/v1/images", files={"portrait": portrait}, data=data)
    assert text in refused(response, ProblemType.INVALID_WEBHOOK)["detail"]
    assert nothing_left(server)


def test_a_key_that_was_cut_off_is_not_used(start: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "webhooks.key").write_bytes(b"short")
    server = start()
    response = server.client.get("/v1/webhooks/secret")
    assert (response.status_code, response.json()["detail"]) == (
        503, "the service's own secret cannot be used just now",
    )  # fmt: skip


def test_the_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "data" / "webhooks.key"
    secrets: list[str] = []
    threads = [threading.Thread(target=lambda: secrets.append(WebhookSigner(path).secret("me"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(secrets)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["webhooks.key"]
