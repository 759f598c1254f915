"""Idempotency-Key and Prefer: wait."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import cast

import httpx
import pytest

from jobs.problems import ProblemType
from service.access.throttle import OPEN_OWNER
from tests.service.conftest import Server, Start, photo
from tests.service.routes.test_create import YAW, refused
from tests.support.processes import PATIENCE_S, until


def post(server: Server, key: str, portrait: bytes, **headers: str) -> httpx.Response:
    return server.client.post(
        "/v1/images",
        files={"portrait": portrait},
        data={"motion": YAW},
        headers={"Idempotency-Key": key, **headers},
    )


@contextlib.contextmanager
def slow_request(server: Server, key: str) -> Iterator[None]:
    """A form whose rest does not come while the `with` block runs."""
    host, port = server.client.base_url.host, server.client.base_url.port
    assert port is not None
    with socket.create_connection((host, port)) as slow:
        slow.sendall(
            b"POST /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nIdempotency-Key: %s\r\nContent-Length: 9999\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n" % key.encode()
        )
        until(lambda: in_flight(server), "its request has not begun")
        yield


def in_flight(server: Server) -> list[str]:
    """The keys of requests that have begun, as Redis has them."""
    return cast("list[str]", server.context.store._redis.keys("pirenderer:idempotency:*"))


def test_the_same_key_and_form_make_one_job(server: Server, portrait: bytes) -> None:
    first = post(server, "k1", portrait)
    again = post(server, "k1", portrait)
    assert again.status_code == first.status_code == 202
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert post(server, "k2", portrait).json()["id"] != first.json()["id"]
    assert len(server.queued_messages("images")) == 2
    assert len(list(server.artifacts.root.glob("??/*"))) == 2


def test_a_repeated_request_is_answered_though_the_queue_is_full(start: Start, portrait: bytes) -> None:
    server = start(queue_limit=1)
    first = post(server, "k", portrait)
    assert post(server, "k", portrait).json()["id"] == first.json()["id"]
    refused(post(server, "other", portrait), ProblemType.QUEUE_FULL)
    assert server.client.delete(first.json()["urls"]["self"]).status_code == 204
    assert post(server, "other", portrait).status_code == 202


def test_the_same_key_with_another_form_is_refused(server: Server, portrait: bytes) -> None:
    post(server, "k", portrait)
    refused(post(server, "k", photo(32, 32)), ProblemType.IDEMPOTENCY_MISMATCH)
    assert len(server.client.get("/v1/jobs").json()["jobs"]) == 1


def test_the_key_of_a_refused_request_can_be_used_again(server: Server, portrait: bytes) -> None:
    refused(post(server, "k", b"not a photo"), ProblemType.UNSUPPORTED_MEDIA)
    assert post(server, "k", portrait).status_code == 202


def test_a_key_in_flight_conflicts(server: Server, portrait: bytes) -> None:
    with slow_request(server, "k"):
        refused(post(server, "k", portrait), ProblemType.IDEMPOTENCY_IN_FLIGHT)
    # the client went away, so the key is free again
    for _ in range(100):
        response = post(server, "k", portrait)
        if response.status_code == 202:
            break
    assert response.status_code == 202


def test_a_key_is_in_flight_for_as_long_as_its_request_and_no_longer(
    server: Server, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("service.stores.idempotency", "service.intake.submissions"):
        monkeypatch.setattr(f"{module}.IN_FLIGHT_SECONDS", 9)
    keys, run, redis = server.context.idempotency, server.run, server.context.store._redis
    with slow_request(server, "k"):
        (kept,) = in_flight(server)
        redis.expire(kept, 6)
        until(lambda: redis.ttl(kept) > 6, "it lapses")
        refused(post(server, "k", portrait), ProblemType.IDEMPOTENCY_IN_FLIGHT)
        assert run(keys.begin(OPEN_OWNER, "dead", "a" * 32)) is None  # by a front-end that was killed then
        refused(post(server, "dead", portrait), ProblemType.IDEMPOTENCY_IN_FLIGHT)
        (lapses,) = set(in_flight(server)) - {kept}
        assert 0 < redis.ttl(lapses) <= 9
        redis.delete(lapses)
        assert post(server, "dead", portrait).status_code == 202


def test_a_request_that_lost_its_key_makes_no_second_job(server: Server, portrait: bytes) -> None:
    """Its front-end was away from Redis for too long, and the client sent it again to another one."""
    keys, run, lost, other = server.context.idempotency, server.run, "a" * 32, "b" * 32
    assert run(keys.begin(OPEN_OWNER, "k", lost)) is None
    run(keys.release(OPEN_OWNER, "k", lost))
    run(keys.keep(OPEN_OWNER, "k", lost))  # what has lapsed is nobody's
    assert run(keys.begin(OPEN_OWNER, "k", other)) is None
    run(keys.keep(OPEN_OWNER, "k", lost))
    run(keys.release(OPEN_OWNER, "k", lost))
    refused(post(server, "k", portrait), ProblemType.IDEMPOTENCY_IN_FLIGHT)  # it is still the other's
    run(keys.release(OPEN_OWNER, "k", other))
    job_id = post(server, "k", portrait).json()["id"]
    run(keys.release(OPEN_OWNER, "k", lost))
    assert post(server, "k", portrait).json()["id"] == job_id


@pytest.mark.parametrize("meanwhile", [False, True], ids=["nobody", "another"])
def test_a_key_that_lapses_while_a_form_comes_makes_one_job(
    server: Server, portrait: bytes, *, meanwhile: bool
) -> None:
    body = httpx.Request("POST", "http://x", files={"portrait": portrait}, data={"motion": YAW})
    whole = body.read()
    asked = threading.Event()
    answers: list[httpx.Response] = []

    def chunks() -> Iterator[bytes]:
        yield whole[:-1]
        asked.wait(PATIENCE_S)
        yield whole[-1:]

    def send() -> None:
        headers = {"Idempotency-Key": "k", "Content-Type": body.headers["content-type"]}
        answers.append(server.client.post("/v1/images", content=chunks(), headers=headers))

    sender = threading.Thread(target=send)
    sender.start()
    redis = server.context.store._redis
    until(lambda: in_flight(server), "its request has not begun")
    redis.delete(*in_flight(server))
    job_id = post(server, "k", portrait).json()["id"] if meanwhile else None
    asked.set()
    sender.join()
    if meanwhile:
        refused(answers[0], ProblemType.IDEMPOTENCY_IN_FLIGHT)
    assert post(server, "k", portrait).json()["id"] == (job_id or answers[0].json()["id"])
    assert len(server.queued_messages("images")) == 1
    assert len(list(server.artifacts.root.glob("??/*"))) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_malformed_key_is_refused(server: Server, portrait: bytes, key: str) -> None:
    refused(post(server, key, portrait), ProblemType.BAD_REQUEST)


def test_keys_of_deleted_jobs_say_so(server: Server, portrait: bytes) -> None:
    job = post(server, "k", portrait).json()
    assert server.client.delete(job["urls"]["self"]).status_code == 204
    refused(post(server, "k", portrait), ProblemType.JOB_EXPIRED)


def test_waiting_answers_with_the_finished_job(server: Server, portrait: bytes) -> None:
    def work() -> None:
        until(lambda: server.queued_messages("images"), "there is no job")
        server.succeed(server.queued_messages("images")[0])

    worker = threading.Thread(target=work)
    worker.start()
    response = post(server, "k", portrait, Prefer="respond-async, wait=60")
    worker.join()
    assert response.status_code == 200
    assert response.json()["status"] == "succeeded"
    assert response.headers["preference-applied"] == "wait=60"


def test_waiting_ends_in_time_and_has_a_bound(start: Start, portrait: bytes) -> None:
    server = start(max_wait_s=0.2)
    response = post(server, "k", portrait, Prefer="Wait=9999")
    assert response.status_code == 202
    assert response.json()["status"] == "queued"
    assert response.headers["preference-applied"] == "wait=0.2"
