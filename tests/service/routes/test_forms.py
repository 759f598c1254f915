"""Forms that create jobs: which fields there are, and how large each may be."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.problems import ProblemType
from jobs.schemas import ImageOptions, ImageSpec
from tests.service.conftest import DIMENSION, Server, Start, photo
from tests.service.routes.test_create import YAW, nothing_left, post, refused


def test_missing_doubled_and_unknown_fields_are_refused(server: Server, portrait: bytes) -> None:
    cases: list[tuple[dict[str, bytes], dict[str, str], str]] = [
        ({}, {"motion": YAW}, "'portrait' is missing"),
        ({"portrait": portrait}, {}, "exactly one of motion, motions, driving is needed, got none"),
        ({"portrait": portrait, "driving": portrait}, {"motion": YAW}, "got motion, driving"),
        (
            {"portrait": portrait},
            {"motion": YAW, "optoins": "{}"},
            "unknown field 'optoins'; allowed are portrait",
        ),
    ]
    for files, texts, text in cases:
        response = post(server, "images", files, **texts) if files else server.client.post(
            "/v1/images", files={"motion": (None, YAW)}
        )  # fmt: skip
        assert text in refused(response, ProblemType.INVALID_REQUEST)["detail"]
    twice = server.client.post("/v1/images", files=[("portrait", portrait), ("portrait", portrait)])
    assert "sent twice" in refused(twice, ProblemType.INVALID_REQUEST)["detail"]
    assert nothing_left(server)


EMPTY = dict.fromkeys(("portrait_id", "motions", "driving", "options", "webhook", "deadline"), (None, ""))


def test_an_empty_part_is_a_field_not_sent(server: Server, portrait: bytes) -> None:
    """As browsers send what was left out of a plain HTML form."""
    form = {**EMPTY, "driving": ("", b"", "application/octet-stream"), "portrait": portrait, "motion": (None, YAW)}
    job = server.client.post("/v1/images", files=form)  # type: ignore[arg-type]
    assert job.status_code == 202, job.text
    spec = server.claim(job.json()["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert (spec.driving, spec.motions, spec.options) == (None, None, ImageOptions())
    kept = server.client.post("/v1/portraits", files={"portrait": portrait}).json()["id"]
    form |= {"portrait": ("", b""), "portrait_id": (None, kept)}
    assert server.client.post("/v1/images", files=form).status_code == 202  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("empty", "kind", "text"),
    [
        ({"portrait": (None, "")}, ProblemType.INVALID_REQUEST, "field 'portrait' is missing"),
        ({"portrait": ("photo.jpg", b"")}, ProblemType.UNREADABLE_MEDIA, "portrait is an empty file"),
        ({"driving": ("photo.jpg", b"")}, ProblemType.UNREADABLE_MEDIA, "driving is an empty file"),
        ({"motion": (None, "")}, ProblemType.INVALID_REQUEST, "needed, got none"),
    ],
)
def test_what_is_empty_and_needed_is_refused(
    server: Server, portrait: bytes, empty: dict[str, Any], kind: ProblemType, text: str
) -> None:
    form = {"portrait": ("photo.jpg", portrait), "motion": (None, YAW), **empty}
    assert text in refused(server.client.post("/v1/images", files=form), kind)["detail"]
    assert nothing_left(server)


def test_a_byte_order_mark_is_skipped(server: Server, portrait: bytes) -> None:
    frames = {"space": "open478", "frames": [[0.123456789] * DIMENSION] * 500}
    texts = {"motion": json.dumps(frames), "options": '{"size": 128}', "webhook": '{"url": "https://example.org"}'}
    marked = {name: (None, b"\xef\xbb\xbf" + text.encode()) for name, text in texts.items()}
    for motion in (texts["motion"], '{"keyframes": [{"t": 0, "controls": {}}]}'):
        form = {**marked, "motion": (None, b"\xef\xbb\xbf" + motion.encode()), "portrait": portrait}
        response = server.client.post("/v1/videos", files=form)  # type: ignore[arg-type]
        assert response.status_code == 202, response.text


def test_what_is_not_a_form_is_refused(server: Server) -> None:
    for content_type in ("text/plain", "multipart/form-data", "application/xml; charset=utf-8"):
        response = server.client.post("/v1/images", content=b"{}", headers={"content-type": content_type})
        problem = refused(response, ProblemType.UNSUPPORTED_MEDIA)
        assert problem["got"] == content_type
        assert problem["allowed"] == ["application/json", "multipart/form-data", "application/x-www-form-urlencoded"]
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for body in (b"junk", b'--x\r\nContent-Disposition: form-data; name="motion"\r\n\r\n{}'):
        refused(server.client.post("/v1/images", content=body, headers=headers), ProblemType.BAD_REQUEST)
    assert nothing_left(server)


def test_a_file_over_its_limit_is_refused_while_it_streams(start: Start) -> None:
    server = start(max_portrait_bytes=100_000)
    problem = refused(post(server, "images", {"portrait": photo() + bytes(100_000)}), ProblemType.TOO_LARGE)
    assert problem["allowed"] == 100_000
    assert "portrait is larger than the 100000 bytes allowed" in problem["detail"]
    assert nothing_left(server)


def test_a_text_over_its_limit_is_refused(start: Start, portrait: bytes) -> None:
    server = start(max_motion_bytes=100)
    refused(post(server, "images", {"portrait": portrait}, motion=YAW + " " * 100), ProblemType.TOO_LARGE)


def test_a_body_over_the_limit_is_refused_with_and_without_a_declared_length(start: Start) -> None:
    server = start(max_portrait_bytes=1000, max_motion_bytes=1000, max_options_bytes=1000)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    body = b"--x\r\n" + bytes(1_000_000)

    def stream() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="motion"\r\n\r\n'
        for _ in range(100):
            yield b" " * 1000

    declared = refused(server.client.post("/v1/images", content=body, headers=headers), ProblemType.TOO_LARGE)
    assert declared["got"] == len(body)
    refused(server.client.post("/v1/images", content=stream(), headers=headers), ProblemType.TOO_LARGE)
    assert server.client.get("/healthz").status_code == 200


def test_a_form_that_trickles_in_is_cut_off(start: Start) -> None:
    server = start(upload_timeout_s=0.5)
    host, port = server.client.base_url.host, server.client.base_url.port
    assert port is not None
    with socket.create_connection((host, port), timeout=10) as slow:
        slow.sendall(
            b"POST /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
        answer = slow.recv(65536)
        while part := slow.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert ProblemType.TOO_SLOW.uri.encode() in answer
    assert nothing_left(server)
