"""Videos of a text, which is spoken before there is a job."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from jobs.files.keys import new_id
from jobs.problems import ProblemType
from jobs.schemas import VideoSpec
from tests.service.conftest import Server, Start
from tests.service.routes.test_bodies import ask, data_uri
from tests.service.routes.test_create import nothing_left, refused
from tests.service.running.test_slow_clients import connected, head
from tests.support.processes import PATIENCE_S, until
from tests.support.speech_server import SpeechServer, refusing, speech_server, tone

KEY = {"Idempotency-Key": "a"}


@pytest.fixture
def speech() -> Iterator[SpeechServer]:
    with speech_server() as running:
        yield running


@pytest.fixture
def given(portrait: bytes) -> dict[str, Any]:
    return {"portrait": data_uri(portrait), "text": " Good morning. ", "voice": "nova"}


@pytest.mark.parametrize("form", ["json", "multipart"])
def test_the_speech_of_a_text_is_the_audio_of_a_job(
    start: Start, speech: SpeechServer, portrait: bytes, given: dict[str, Any], form: str
) -> None:
    server = start(tts_url=speech.url)
    if form == "json":
        response = ask(server, "videos", **given)
    else:
        texts = {name: given[name] for name in ("text", "voice")}
        response = server.client.post("/v1/videos", files={"portrait": portrait}, data=texts)
    job = response.json()
    assert response.status_code == 202, job
    assert (job["input"]["text"], job["input"]["voice"]) == (given["text"], "nova")
    assert job["input"]["audio"]["bytes"] == len(tone())
    assert [(body["input"], body["voice"]) for body in speech.bodies] == [("Good morning.", "nova")]
    spec = server.claim(job["id"]).spec
    assert isinstance(spec, VideoSpec)
    assert spec.audio is not None
    assert server.artifacts.path(spec.audio.key).read_bytes() == tone()
    assert spec.options.seed is not None
    assert server.client.get(f"/v1/jobs/{job['id']}/speech").content == tone()


def test_a_repeated_request_is_not_spoken_again(start: Start, speech: SpeechServer, given: dict[str, Any]) -> None:
    server = start(tts_url=speech.url)
    first, again = (server.client.post("/v1/videos", json=given, headers=KEY) for _ in range(2))
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    other = server.client.post("/v1/videos", json={**given, "text": "Good night."}, headers=KEY)
    refused(other, ProblemType.IDEMPOTENCY_MISMATCH)
    assert len(speech.bodies) == 1


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"options": {"size": 1}}, ProblemType.INVALID_OPTIONS),
        ({"motion": {"controls": {"yaw": 99}}}, ProblemType.INVALID_MOTION),
        ({"webhook": {"url": "http://10.0.0.1/"}}, ProblemType.INVALID_WEBHOOK),
        ({"metadata": {"a b": "c"}}, ProblemType.INVALID_REQUEST),
        ({"deadline": 0}, ProblemType.INVALID_REQUEST),
        ({"portrait": {"id": new_id()}}, ProblemType.NO_SUCH_PORTRAIT),
        ({"text": "?!"}, ProblemType.INVALID_REQUEST),
        ({"audio": "https://example.org/a.wav"}, ProblemType.INVALID_REQUEST),
    ],
)
def test_what_is_wrong_with_the_rest_is_told_before_anything_is_spoken(
    start: Start, speech: SpeechServer, given: dict[str, Any], more: dict[str, Any], kind: ProblemType
) -> None:
    server = start(tts_url=speech.url)
    refused(ask(server, "videos", **{**given, **more}), kind)
    assert speech.bodies == []
    assert nothing_left(server)


def test_without_a_model_for_speech_nothing_is_spoken(
    start: Start, speech: SpeechServer, given: dict[str, Any], weights_dir: Path
) -> None:
    (weights_dir / "speech.json").unlink()
    problem = refused(ask(start(tts_url=speech.url), "videos", **given), ProblemType.NO_MODEL)
    assert problem["detail"] == "no audio model is installed"
    assert speech.bodies == []


def test_a_text_that_was_not_spoken_leaves_nothing_and_frees_its_key(
    start: Start, speech: SpeechServer, given: dict[str, Any]
) -> None:
    server = start(tts_url=speech.url)
    good, speech.answer = speech.answer, refusing(500, "no")
    response = server.client.post("/v1/videos", json=given, headers=KEY)
    assert "the speech server answers 500" in refused(response, ProblemType.SPEECH_FAILED)["detail"]
    assert response.headers["retry-after"] == "15"
    assert nothing_left(server)
    speech.answer = good
    assert server.client.post("/v1/videos", json=given, headers=KEY).status_code == 202


def test_speaking_ends_when_nobody_waits_for_it(start: Start, speech: SpeechServer, given: dict[str, Any]) -> None:
    asked, gone = threading.Event(), threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        assert handler.connection.recv(1) == b""  # until who asked has gone
        gone.set()

    speech.answer = silent
    server: Server = start(tts_url=speech.url)
    body = json.dumps(given).encode()
    with connected(server) as line:
        line.sendall(head("POST", "/v1/videos", Content_Type="application/json", Content_Length=len(body), **KEY))
        line.sendall(b"\r\n" + body)
        assert asked.wait(PATIENCE_S)
    assert gone.wait(PATIENCE_S)
    until(lambda: nothing_left(server), "something is left of it")
