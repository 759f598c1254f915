"""What holds for every request: HEAD is GET without the body, and a proxy may serve us under a path of its own."""

import logging
import re
import socket
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import structlog

from jobs.problems import ProblemType
from pirenderer_client import Client
from tests.service.conftest import FIRST, Server, Start
from tests.service.routes.test_create import WAV, YAW, refused
from tests.support.processes import until
from tests.support.proxies import under_path
from tests.support.streamed import Streamed


def create(client: httpx.Client, portrait: bytes, at: str = "") -> httpx.Response:
    response = client.post(f"{at}/v1/images", files={"portrait": portrait}, data={"motion": YAW})
    assert response.status_code == 202, response.text
    return response


def raw(server: Server, request: bytes) -> bytes:
    """All that comes back on a connection that the server closes."""
    port = urlsplit(server.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_head_is_get_without_the_body(server: Server, portrait: bytes) -> None:
    made = server.client.post("/v1/videos", files={"portrait": portrait, "audio": WAV}).json()["id"]
    video = Streamed(server.context, made)
    video.begin()
    video.add(0)
    video.end(12)
    video.join()
    other = create(server.client, portrait).json()["id"]
    photo = server.client.post("/v1/portraits", files={"portrait": portrait}).json()["id"]
    paths = [path for path, methods in server.client.get("/openapi.json").json()["paths"].items() if "get" in methods]
    named = {path.format(job_id=made, portrait_id=photo, number=0, slug="no-face") for path in paths}
    named |= {"/", "/openapi.json", "/web/page/main.js"}
    for path in sorted(named | {f"/v1/jobs/{other}/result", "/v1/jobs/x", "/no"}):
        head, get = server.client.head(path), server.client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert get.status_code == 200 or path not in named, path
        for name in ("content-type", "etag", "cache-control", "x-content-type-options"):
            assert head.headers.get(name) == get.headers.get(name), (path, name)
        if path != "/metrics":  # counts what is asked
            assert head.headers.get("content-length") == get.headers.get("content-length"), path
    assert server.client.head("/v1/images").status_code == 405


def test_head_of_a_stream_ends_at_once_and_sends_no_byte_of_it(server: Server, portrait: bytes) -> None:
    job = create(server.client, portrait).json()["id"]  # which nobody works on: the stream would go on
    head = f"HEAD /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n"
    follower = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    first, second, body = raw(server, head.encode() + b"\r\n" + follower).split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200")
    assert b"text/event-stream" in first
    assert second.startswith(b"HTTP/1.1 200")
    assert body == b'{"status":"ok"}'


def test_head_needs_a_key_and_is_counted_as_head(start: Start) -> None:
    server = start(api_keys=FIRST)
    assert server.client.head("/v1/jobs").status_code == 401
    server.client.headers["X-API-Key"] = FIRST
    assert server.client.head("/v1/jobs").status_code == 200
    text = server.client.get("/metrics").text
    assert 'requests_total{method="HEAD",route="/v1/jobs",status="200"} 1.0' in text


@pytest.mark.parametrize("path", ["/v1/jobs/", "/v1/images/", "/healthz/"])
def test_an_address_that_is_nearly_right_is_wrong(server: Server, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        response = server.client.request(method, path)
        assert response.status_code == 404
        assert "location" not in response.headers
    refused(server.client.get(path), ProblemType.NOT_FOUND)


@pytest.mark.parametrize("strips", [True, False])
def test_addresses_have_the_path_that_a_proxy_serves_us_under(start: Start, portrait: bytes, *, strips: bool) -> None:
    server = start(root_path="/pir", allow_open=True)
    with under_path(server.url.rstrip("/"), "/pir", strips=strips) as url, httpx.Client(timeout=30) as client:
        # the page, and what it asks for
        html, script = client.get(f"{url}/").text, client.get(f"{url}/web/page/main.js").text
        wanted = re.findall(r'(?:href|src)="([^"]+)"', html) + re.findall(r'json\("([^"]+)"\)', script)
        assert {"web/page/main.js", "docs", "v1/controls"} <= set(wanted)
        wanted += re.findall(r'(?:href|src)="([^"]+)"', client.get(f"{url}/docs").text)
        assert {"web/docs.js", "openapi.json"} <= set(wanted)
        for address in wanted:
            assert client.get(urljoin(f"{url}/", address)).status_code == 200, address
        # what the API says of itself
        assert client.get(f"{url}/openapi.json").json()["servers"] == [{"url": "/pir"}]
        problem = client.get(f"{url}/v1/jobs/no").json()
        assert problem["instance"] == f"{url}/v1/jobs/no"
        assert problem["type"] == f"{url}{ProblemType.NOT_FOUND.uri}"
        created = create(client, portrait, url)
        job = created.json()
        assert created.headers["location"] == job["urls"]["self"] == f"{url}/v1/jobs/{job['id']}"
        assert client.get(f"{url}/v1/jobs").json()["jobs"][0]["urls"] == job["urls"]
        for address in (job["urls"]["self"], created.headers["location"]):
            assert client.get(address).json()["id"] == job["id"]
        photo = client.post(f"{url}/v1/portraits", files={"portrait": portrait})
        assert client.get(photo.headers["location"]).json()["urls"] == photo.json()["urls"]
        # what a playlist names
        files = {"portrait": portrait, "audio": WAV}
        stream = client.post(f"{url}/v1/videos", files=files).json()["urls"]["stream"]
        video = Streamed(server.context, stream.split("/")[-2])
        video.begin()
        video.add(0)
        playlist = client.get(stream).text
        for address in re.findall(r'URI="(.+)"|^(\w.+)$', playlist, re.MULTILINE):
            assert client.get(urljoin(stream, "".join(address))).status_code == 200, address
        assert client.post(job["urls"]["cancel"]).json()["status"] == "canceled"
        with Client(url) as ours:
            assert [event.ends for event in ours.job(job["id"]).events()][-1]
    # and by whoever asks us without the proxy, as `serve` does
    assert server.client.get("/healthz").status_code == 200


def test_without_a_path_addresses_begin_at_the_root(server: Server, portrait: bytes) -> None:
    job = create(server.client, portrait).json()
    assert job["urls"]["self"] == f"{server.url}/v1/jobs/{job['id']}"
    assert server.client.get("/openapi.json").json()["servers"] == [{"url": "/"}]


@pytest.mark.parametrize(("trusted", "shown"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")])
def test_who_asked_is_believed_of_trusted_proxies_alone(start: Start, trusted: str, shown: str) -> None:
    server = start(trusted_proxies=trusted)
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        with structlog.testing.capture_logs() as lines:
            server.client.get("/v1/jobs", headers={"X-Forwarded-For": "203.0.113.9"})
            until(lambda: lines, "nothing is logged")
    finally:
        structlog.configure(**before)
    assert [line["client"] for line in lines if line["event"] == "request"] == [shown]
