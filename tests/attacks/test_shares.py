"""What one owner could take from the others, or from the machine: at once, and by keeping it."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from jobs.problems import ProblemType
from service.access.keys import KeyFile
from tests.attacks.conftest import MIB, Api
from tests.support.processes import TURN, until

STORED = 20_000
POSE = {"motion": (None, TURN)}
SWAY = {"space": "open478", "fps": 25, "frames": [[0.123456789] * 70] * 1000}


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    api = Api(folder)
    settings = {"QUEUE_LIMIT": 10, "QUEUE_SHARE": 6, "FORM_SHARE": 2, "FOLLOW_SHARE": 3, "MAX_PORTRAITS": 2}
    more = {"MAX_STORED_BYTES": STORED, "CANCELED_RETENTION_S": 3, "HOUSEKEEPING_S": 0.2}
    try:
        api.serve(**{f"PIRENDERER_{name}": str(value) for name, value in {**settings, **more}.items()})
        yield api
    finally:
        api.stop()


@pytest.fixture
def clean(api: Api) -> Iterator[Api]:
    """With nothing in it, before and after."""
    yield api
    for owner in api.keys:
        with api.as_owner(owner) as client:
            for what in ("jobs", "portraits"):
                for each in client.get(f"/v1/{what}?limit=200").json()[what]:
                    client.delete(each["urls"]["self"])
    assert not api.redis.exists("pirenderer:kept:files", "pirenderer:kept:records")  # counted to the last byte


def refused(response: httpx.Response, kind: ProblemType) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert (response.status_code, urlsplit(problem["type"]).path) == (kind.status, kind.uri), problem
    assert int(response.headers["retry-after"]) > 0
    return problem


def test_the_last_places_are_for_owners_who_have_none(clean: Api, portrait: bytes) -> None:
    def ask(owner: str) -> httpx.Response:
        with clean.as_owner(owner) as client:
            return client.post("/v1/images", files={"portrait": portrait, **POSE})

    assert [ask("alice").status_code for _ in range(7)] == [202] * 6 + [429]
    assert [ask("bob").status_code for _ in range(2)] == [202] * 2
    problem = refused(ask("bob"), ProblemType.QUEUE_FULL)
    assert problem["detail"] == "the last 2 places of the queue are for owners of whom no image job waits"
    assert ask("carol").status_code == 202
    refused(ask("carol"), ProblemType.QUEUE_FULL)


def test_forms_at_once_are_bounded_and_released(clean: Api, portrait: bytes) -> None:
    def begin(owner: str) -> socket.socket:
        connection = socket.create_connection((clean.client.base_url.host, clean.client.base_url.port or 80), 10)
        head = (
            "POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n"
            f"X-API-Key: {clean.keys[owner]}\r\nContent-Length: 9000\r\n\r\n--B\r\n"
        )
        connection.sendall(head.encode())
        return connection

    def folders() -> int:
        return len(list(clean.artifacts.glob("??/*")))

    files = {"portrait": portrait, **POSE}
    with clean.as_owner("alice") as alice, clean.as_owner("bob") as bob:
        held = [begin("alice") for _ in range(2)]
        until(lambda: folders() == 2, "forms do not begin")
        problem = refused(alice.post("/v1/images", files=files), ProblemType.TOO_MANY_REQUESTS)  # type: ignore[arg-type]
        assert problem["detail"] == "2 forms of this key's owner are under way, which is all one owner may have"
        refused(alice.post("/v1/portraits", files={"portrait": portrait}), ProblemType.TOO_MANY_REQUESTS)
        assert bob.post("/v1/images", files=files).status_code == 202  # type: ignore[arg-type]
        held[0].close()  # one goes away, one sends what is not taken
        held[1].sendall(b'Content-Disposition: form-data; name="x"\r\n\r\n')
        assert held[1].recv(1000).startswith(b"HTTP/1.1 422")
        held[1].close()
        until(lambda: folders() == 1, "forms are not given up")
        assert [alice.post("/v1/images", files=files).status_code for _ in range(3)] == [202] * 3  # type: ignore[arg-type]


def test_streams_are_bounded_and_a_wait_gives_way(clean: Api, portrait: bytes) -> None:
    files = {"portrait": portrait, **POSE}
    with ExitStack() as stack:
        alice, bob = (stack.enter_context(clean.as_owner(owner)) for owner in ("alice", "bob"))
        events, theirs = (
            client.post("/v1/images", files=files).json()["urls"]["events"]  # type: ignore[arg-type]
            for client in (alice, bob)
        )
        with ExitStack() as streams:
            for _ in range(3):
                streams.enter_context(alice.stream("GET", events))
            problem = refused(alice.get(events), ProblemType.TOO_MANY_REQUESTS)
            assert "3 streams of events of this key's owner are under way" in problem["detail"]
            with bob.stream("GET", theirs) as other:
                assert other.status_code == 200
            waited = alice.post("/v1/images", files=files, headers={"Prefer": "wait=30"})  # type: ignore[arg-type]
            assert waited.status_code == 202
            assert "preference-applied" not in waited.headers

        def again() -> bool:
            with alice.stream("GET", events) as stream:
                return stream.status_code == 200

        until(again, "streams that ended are still counted")


def test_a_stream_ends_with_its_key(clean: Api, portrait: bytes) -> None:
    keys = KeyFile(clean.folder / "data" / "keys.json")
    key, record = keys.make("alice")
    headers = {"X-API-Key": key}
    job = clean.client.post("/v1/images", files={"portrait": portrait, **POSE}, headers=headers).json()
    with clean.client.stream("GET", job["urls"]["events"], headers=headers) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: status"
        keys.revoke(record.id)
        with clean.as_owner("alice") as alice:
            alice.post(job["urls"]["cancel"])
        assert "canceled" not in "".join(lines)


def test_portraits_at_once_are_counted_each(clean: Api, portrait: bytes) -> None:
    with clean.as_owner("alice") as alice, ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda _: alice.post("/v1/portraits", files={"portrait": portrait}).status_code, range(6))
        assert sorted(answers) == [201] * 2 + [429] * 4
        assert len(alice.get("/v1/portraits").json()["portraits"]) == 2


def test_what_an_owner_keeps_is_bounded(clean: Api, portrait: bytes) -> None:
    large = portrait + bytes(8000 - len(portrait))

    def kept() -> int:
        return int(clean.redis.hget("pirenderer:kept:files", "alice") or 0)

    with clean.as_owner("alice") as alice:
        photo = alice.post("/v1/portraits", files={"portrait": large}).json()
        named = {"portrait_id": (None, photo["id"]), **POSE}
        job = alice.post("/v1/images", files=named).json()
        assert kept() == 16_000
        refusal = alice.post("/v1/images", files=named)
        problem = refused(refusal, ProblemType.STORAGE_USED)
        assert (problem["got"], problem["allowed"]) == (16_000, STORED)
        refused(alice.post("/v1/portraits", files={"portrait": large}), ProblemType.STORAGE_USED)
        alice.delete(photo["urls"]["self"])
        assert kept() == 8000
        assert alice.post(job["urls"]["cancel"]).json()["status"] == "canceled"
        again = alice.post(job["urls"]["self"] + "/rerun").json()
        assert kept() == 16_000
        until(lambda: alice.get(job["urls"]["self"]).json()["status"] == "expired", "a canceled job stays")
        until(lambda: kept() == 8000, "an expired job is counted")
        assert alice.get(again["urls"]["self"]).json()["status"] == "queued"
        assert "pirenderer_kept_bytes" in alice.get("/metrics").text


def test_a_long_motion_does_not_lie_in_redis(clean: Api, portrait: bytes) -> None:
    with clean.as_owner("bob") as bob:
        text = json.dumps(SWAY)
        assert len(text) > MIB // 2
        files = {"portrait": portrait, "motion": (None, text)}
        refused(bob.post("/v1/videos", files=files), ProblemType.STORAGE_USED)  # type: ignore[arg-type]
        assert list(clean.artifacts.glob("??/*/*")) == []
