"""The message of a job's start, beside that of its end."""

import json
from collections.abc import Callable

from tests.service.conftest import Start
from tests.service.webhooks.conftest import Receiver, create, ended, state, verified
from tests.support.processes import until

ALL = ["job.started", "job.succeeded", "job.failed", "job.canceled"]


def test_a_start_is_told_while_the_job_runs(start: Start, portrait: bytes, receive: Callable[..., Receiver]) -> None:
    server = start(webhook_private=True)
    receiver = receive(204)
    job = create(server, portrait, receiver.url, ALL).json()
    claim = server.claim(job["id"])
    until(lambda: len(receiver.received) == 1, "its start is not told")
    _, headers, body = receiver.received[0]
    message = json.loads(body)
    now = server.client.get(f"/v1/jobs/{job['id']}").json()
    assert (message["type"], message["data"]["status"], now["status"]) == ("job.started", "running", "running")
    assert message["timestamp"].replace("+00:00", "Z") == message["data"]["started_at"] == now["started_at"]
    assert headers["webhook-id"] == f"msg_{job['id']}_started"
    assert verified(server.client.get("/v1/webhooks/secret").json()["secret"], headers, body)
    server.context.store.claims.cancel(claim)
    assert ended(server, job["id"]) == "delivered"
    assert [json.loads(body)["type"] for _, _, body in receiver.received] == ["job.started", "job.canceled"]


def test_a_start_that_is_told_late_tells_what_was_then(
    start: Start, portrait: bytes, receive: Callable[..., Receiver]
) -> None:
    """And its retries are its own: the end has been told meanwhile, at the first attempt."""
    server = start(webhook_private=True, webhook_backoff="1")
    receiver = receive(500, 204)
    job_id = create(server, portrait, receiver.url, ALL).json()["id"]
    claim = server.claim(job_id)
    until(lambda: len(receiver.received) == 1, "its start is not told")
    server.context.store.claims.give_back(claim)  # of another claim nobody is told
    server.succeed(job_id)
    until(lambda: len(state(server, job_id)["deliveries"]) == 3, lambda: str(state(server, job_id)))
    told = sorted((json.loads(body)["type"], headers["webhook-id"], body) for _, headers, body in receiver.received)
    assert [each[:2] for each in told] == [
        ("job.started", f"msg_{job_id}_started"), ("job.started", f"msg_{job_id}_started"),
        ("job.succeeded", f"msg_{job_id}"),
    ]  # fmt: skip
    assert told[0] == told[1]
    data = json.loads(told[0][2])["data"]
    assert (data["status"], data["timings"]) == ("running", {})
    assert data.keys().isdisjoint({"result", "finished_at", "expires_at", "webhook"})
    webhook = state(server, job_id)
    assert (webhook["status"], webhook["attempts"]) == ("delivered", 1)
    tries = sorted((each["event"], each["attempt"], each["outcome"], each["status"]) for each in webhook["deliveries"])
    assert tries == [
        ("job.started", 1, "pending", 500), ("job.started", 2, "delivered", 204), ("job.succeeded", 1, "delivered", 204)
    ]  # fmt: skip


def test_a_start_is_not_told_unless_asked_for(start: Start, portrait: bytes, receive: Callable[..., Receiver]) -> None:
    server = start(webhook_private=True)
    receiver = receive(204)
    job_id = create(server, portrait, receiver.url).json()["id"]
    server.succeed(job_id)
    assert ended(server, job_id) == "delivered"
    assert [each["event"] for each in state(server, job_id)["deliveries"]] == ["job.succeeded"]
    assert [json.loads(body)["type"] for _, _, body in receiver.received] == ["job.succeeded"]


def test_a_start_alone_can_be_asked_for(start: Start, portrait: bytes, receive: Callable[..., Receiver]) -> None:
    server = start(webhook_private=True)
    receiver = receive(204)
    job_id = create(server, portrait, receiver.url, ["job.started"]).json()["id"]
    server.succeed(job_id)
    assert ended(server, job_id) == "skipped"
    until(
        lambda: server.context.store.counters().webhooks == {("delivered",): 1, ("skipped",): 1},
        lambda: str(server.context.store.counters().webhooks),
    )
    assert [json.loads(body)["type"] for _, _, body in receiver.received] == ["job.started"]
