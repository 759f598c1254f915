"""Who asks again with the tag of an answer is told when it has not changed."""

import pytest

from service.http.validators import is_known
from tests.service.conftest import FIRST, Server, Start
from tests.service.http.test_middleware import create
from tests.service.routes.test_create import WAV
from tests.support.streamed import Streamed


@pytest.mark.parametrize(
    ("header", "known"),
    [('"a"', True), ('W/"a"', True), ('"b", W/"a"', True), ("*", True), ('"b"', False), ("a", False), ("", False),
     (None, False)],
)  # fmt: skip
def test_tags_are_compared_weakly(header: str | None, *, known: bool) -> None:
    assert is_known(header, '"a"') is known


def test_what_has_not_changed_is_not_sent_again(server: Server, portrait: bytes) -> None:
    job = create(server.client, portrait).json()["id"]
    photo = server.client.post("/v1/portraits", files={"portrait": portrait}).json()["id"]
    paths = (
        *("/v1/jobs", f"/v1/jobs/{job}", "/v1/portraits", f"/v1/portraits/{photo}", "/v1/controls", "/v1/models"),
        *("/openapi.json", "/problems", "/problems/no-face"),
    )
    for path in paths:
        first = server.client.get(path)
        assert first.headers["cache-control"] == "private, no-cache", path
        for method in ("GET", "HEAD"):
            again = server.client.request(method, path, headers={"If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b""), path
            for name in ("etag", "cache-control", "vary"):
                assert again.headers.get(name) == first.headers.get(name), (path, name)
            assert "content-type" not in again.headers
        other = server.client.get(path, headers={"If-None-Match": '"other"'})
        assert (other.status_code, other.content, other.headers["etag"]) == (200, first.content, first.headers["etag"])


def test_what_has_changed_is_sent(server: Server, portrait: bytes) -> None:
    job = create(server.client, portrait).json()["id"]
    for path in (f"/v1/jobs/{job}", "/v1/jobs"):
        before = server.client.get(path).headers["etag"]
        server.claim(job) if path.endswith(job) else server.context.store.request_cancel(job)
        after = server.client.get(path, headers={"If-None-Match": before})
        assert (after.status_code, after.headers["etag"] != before) == (200, True)


def test_refusals_secrets_and_how_it_is_going_are_not_kept(start: Start) -> None:
    server = start(api_keys=FIRST)
    secret = server.client.get("/v1/webhooks/secret", headers={"X-API-Key": FIRST})
    for answer in (
        secret,
        server.client.get("/v1/jobs"),
        server.client.get("/v1/jobs/no", headers={"X-API-Key": FIRST}),
        *(server.client.get(path, headers={"X-API-Key": FIRST}) for path in ("/healthz", "/readyz", "/metrics")),
    ):
        assert (answer.headers["cache-control"], answer.headers.get("etag")) == ("no-store", None)
    known = server.client.get("/v1/jobs", headers={"If-None-Match": "*"})
    assert known.status_code == 401


def test_fragments_do_not_change(server: Server, portrait: bytes) -> None:
    files = {"portrait": portrait, "audio": WAV}
    video = Streamed(server.context, server.client.post("/v1/videos", files=files).json()["id"])
    video.begin(b"init")
    video.add(0)
    for part in ("/init.mp4", "/0.m4s", ".m3u8"):
        path = f"/v1/jobs/{video.job_id}/stream{part}"
        etag = server.client.get(path).headers["etag"]
        for method in ("GET", "HEAD"):
            again = server.client.request(method, path, headers={"If-None-Match": etag})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
            assert again.headers["cache-control"] == "private, no-cache"
    video.add(1)
    assert server.client.get(path, headers={"If-None-Match": etag}).status_code == 200  # the playlist has grown
