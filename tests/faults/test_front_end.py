"""The front-end dies while a form comes in or events go out, or has no room to store what comes."""

import contextlib
import json
import os
import resource
import socket
import time

import httpx
import pytest

from jobs.problems import ProblemType
from tests.service.conftest import photo
from tests.support.processes import PORTRAIT, TURN, Service, until
from tests.support.speech_server import sending, speech_server, tone
from tests.support.sse import events_of

pytestmark = pytest.mark.slow


def test_events_are_taken_up_where_a_front_end_died(service: Service) -> None:
    service.start("api")
    job_id = service.create("images", "k", motion=TURN)
    seen: list[dict[str, str]] = []

    def follow(stop_after: int) -> None:
        headers = {"Last-Event-ID": seen[-1]["id"]} if seen else {}
        with (
            contextlib.suppress(httpx.TransportError),
            service.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response,
        ):
            for event in events_of(response):
                seen.append(event)
                if len(seen) == stop_after:
                    service.kill("api")

    follow(1)
    service.start("api")
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    follow(99)
    assert [json.loads(event["data"])["status"] for event in seen] == ["queued", "canceled"]


def test_an_upload_that_a_dying_front_end_breaks_off_leaves_no_job(service: Service) -> None:
    service.start("api")
    with socket.create_connection(("127.0.0.1", service.api_port)) as slow:
        slow.sendall(
            b"POST /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000\r\nIdempotency-Key: k\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="portrait"; filename="a"\r\n\r\n'
            + PORTRAIT.read_bytes()[:9000]
        )
        until(lambda: list(service.artifacts.glob("??/*/.*/portrait*")), "the upload did not begin")
        service.kill("api")
    service.start("api")
    assert service.client.get("/v1/jobs").json()["jobs"] == []
    (folder,) = service.artifacts.glob("??/*")
    service.create("images", "known", motion=TURN)  # on the word of an empty Redis nothing is swept
    hours_ago = time.time() - 2 * 3600
    os.utime(folder, (hours_ago, hours_ago))
    service.kill("api")
    service.start("api")  # housekeeping sweeps as it begins
    until(lambda: not folder.exists(), "the folder was not swept")


def test_without_room_uploads_are_refused_and_the_service_goes_on(service: Service) -> None:
    """No file may grow beyond 20 kB: the write fails in the middle, as on a full disk."""
    small = photo()
    assert len(small) < 20_000 < min(len(PORTRAIT.read_bytes()), len(tone(1)))
    with speech_server() as speech:
        speech.answer = sending(tone(1))
        service.start(
            "api",
            lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY)),
            {"PIRENDERER_TTS_URL": speech.url},
        )
        for call, portrait, data in (
            ("images", PORTRAIT.read_bytes(), {"motion": TURN}),
            ("images", PORTRAIT.read_bytes(), {"motion": TURN}),
            ("videos", small, {"text": "Good morning."}),
        ):
            response = service.client.post(f"/v1/{call}", files={"portrait": portrait}, data=data)
            assert response.status_code == 507
            assert response.json()["type"].endswith(ProblemType.STORAGE_FULL.uri)
    assert not list(service.artifacts.glob("??/*"))
    assert service.client.get("/v1/jobs").json()["jobs"] == []
    assert service.client.get("/readyz").status_code == 200
