"""Speech of a server, which answers well, badly, or not as one should."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest

from jobs.problems import ProblemError, ProblemType
from jobs.settings import InvalidSettingsError, read_settings
from service.http import problems
from service.settings import Settings
from service.speech.speaker import Speaker
from tests.service.speech.conftest import Make, spoken
from tests.support.processes import PATIENCE_S
from tests.support.speech_server import Behaviour, SpeechServer, refusing, sending, tone, unmeasured

SECRET = "sk-0123456789-secret"
MP3 = b"ID3\x04" + bytes(200)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/api", "/api/v1"])
def test_a_text_is_sent_as_the_api_says(make: Make, server: SpeechServer, path: str) -> None:
    speaker = make(tts_url=server.url + path, tts_key=SECRET)
    assert (speaker.name, speaker.voices, speaker.default) == ("server", (), "alloy")
    assert spoken(speaker, " Good morning. ", "af_bella(2)+af_sky(1)") == tone()
    assert server.paths == [f"{'/api' if 'api' in path else ''}/v1/audio/speech"]
    assert server.bodies == [
        {"model": "tts-1", "input": "Good morning.", "voice": "af_bella(2)+af_sky(1)", "response_format": "wav"}
    ]
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert server.headers[0]["content-type"] == "application/json"


def test_without_a_key_none_is_sent_and_model_and_voice_are_settings(make: Make, server: SpeechServer) -> None:
    spoken(make(tts_url=server.url, tts_model="kokoro", tts_voice="af_sky"))
    assert "authorization" not in server.headers[0]
    assert (server.bodies[0]["model"], server.bodies[0]["voice"]) == ("kokoro", "af_sky")


def test_voices_may_be_chosen(make: Make, server: SpeechServer) -> None:
    speaker = make(tts_url=server.url, tts_voices="nova, onyx")
    assert [voice.id for voice in speaker.voices] == ["nova", "onyx"]
    assert speaker.default == "nova"
    with pytest.raises(ProblemError, match="'alloy', which is none of the 2") as caught:
        spoken(speaker, voice="alloy")
    assert caught.value.allowed == ["nova", "onyx"]
    assert spoken(make(tts_url=server.url, tts_voices="nova,onyx", tts_voice="onyx")) == tone()
    assert server.bodies[-1]["voice"] == "onyx"


@pytest.mark.parametrize("voice", ["x" * 129, "a\nb", "a\0b"])
def test_a_voice_that_can_be_none_is_not_passed_on(make: Make, server: SpeechServer, voice: str) -> None:
    with pytest.raises(ProblemError, match="allowed are 1 to 128"):
        spoken(make(tts_url=server.url), voice=voice)
    assert server.bodies == []


def streaming(handler: BaseHTTPRequestHandler) -> None:
    """A WAV in chunks, without a length anywhere."""
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Content-Type", "audio/wav")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.send_header("Connection", "close")
    handler.end_headers()
    sound = unmeasured(tone())
    for at in range(0, len(sound), 5000):
        piece = sound[at : at + 5000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def test_a_sound_that_is_streamed_gets_its_length(make: Make, server: SpeechServer) -> None:
    server.answer = streaming
    assert spoken(make(tts_url=server.url)) == tone()


def test_other_sound_is_taken_as_it_is(make: Make, server: SpeechServer) -> None:
    server.answer = sending(MP3, kind="audio/mpeg")
    assert spoken(make(tts_url=server.url)) == MP3


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (400, {"error": {"message": "unknown voice", "type": "invalid_request_error"}}, "unknown voice"),
        (400, {"detail": {"error": "validation_error", "message": "Voice x not found."}}, "Voice x not found."),
        (422, {"detail": [{"loc": ["body"], "msg": "too long", "type": "x"}]}, "too long"),
        (422, {"error": "no such voice"}, "no such voice"),
        (400, {"message": f"bad\n\x1b[31m  voice, key {SECRET}"}, "bad [31m voice, key …"),
        (413, {"message": 900 * "long "}, 40 * "long "),
        (400, {"detail": []}, "it does not say why"),
        (400, {"detail": 7}, "it does not say why"),
        (400, None, "it does not say why"),
    ],
)  # fmt: skip
def test_what_it_says_of_a_text_or_a_voice_goes_to_who_sent_it(
    make: Make, server: SpeechServer, status: int, error: object, said: str
) -> None:
    server.answer = refusing(status, error)
    with pytest.raises(ProblemError) as caught:
        spoken(make(tts_url=server.url, tts_key=SECRET), voice="nobody")
    assert caught.value.problem_type is ProblemType.INVALID_REQUEST
    assert caught.value.got == "nobody"
    start = f"the speech server refuses voice 'nobody' or text of 13 characters ({status}): "
    assert caught.value.detail == start + said


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"<html><script>alert(1)</script>", "text/html", "it does not say why"),
        (b"[" * 100_000, "application/json", "it does not say why"),
        (b"voice\xff unknown\n", "text/plain; charset=utf-8", "voice� unknown"),
        (b"", "application/json", "it does not say why"),
    ],
)
def test_what_is_no_message_is_not_passed_on(
    make: Make, server: SpeechServer, body: bytes, kind: str, said: str
) -> None:
    server.answer = sending(body, 400, kind)
    with pytest.raises(ProblemError) as caught:
        spoken(make(tts_url=server.url))
    assert caught.value.detail.endswith(f"(400): {said}")


def hang(server: SpeechServer) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        server.ended.wait(PATIENCE_S)

    server.answer = answer


def drip(server: SpeechServer) -> None:
    """A byte now and then, each in time."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.ended.wait(0.05):
            handler.wfile.write(b"R")

    server.answer = answer


def endless(server: SpeechServer) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(unmeasured(tone()))
        while not server.ended.is_set():
            handler.wfile.write(bytes(65536))

    server.answer = answer


def test_an_endless_sound_ends_at_the_size_that_is_allowed(make: Make, server: SpeechServer) -> None:
    endless(server)
    with pytest.raises(ProblemError, match="larger than the 1000000 bytes allowed") as caught:
        spoken(make(tts_url=server.url, max_audio_bytes=1_000_000))
    assert caught.value.problem_type is ProblemType.AUDIO_TOO_LONG


@pytest.mark.parametrize("misbehave", [hang, drip])
def test_a_server_that_is_slow_is_not_waited_for(
    make: Make, server: SpeechServer, misbehave: Callable[[SpeechServer], None]
) -> None:
    misbehave(server)
    with pytest.raises(ProblemError, match=r"not there after 0\.4 s|\((Read|Connect)Timeout\)"):
        spoken(make(tts_url=server.url, tts_timeout_s=0.4))


def failed(speaker: Speaker, said: str) -> None:
    """Check that a text is not spoken, that this is told, and that our key is not."""
    with pytest.raises(problems.ProblemError) as caught:
        spoken(speaker)
    assert caught.value.problem_type is ProblemType.SPEECH_FAILED
    assert caught.value.headers == {"Retry-After": "15"}
    assert said in caught.value.detail
    assert SECRET not in f"{caught.value.detail}{caught.value.got}"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (sending(b"<!DOCTYPE html><p>Welcome"), "what came for speech is text/html, which is no sound"),
        (refusing(200, {"error": "busy"}), "is application/json, which is no sound"),
        (sending(b"\x89PNG\r\n\x1a\n" + bytes(50)), "is image/png, which is no sound"),
        (sending(b""), "is application/octet-stream, which is no sound"),
        (
            sending(b"\x1f\x8b" + bytes(50), headers={"Content-Encoding": "gzip"}),
            "is application/gzip, which is no sound",
        ),
        (refusing(401, {"error": {"message": f"Incorrect API key {SECRET}"}}), "the speech server answers 401"),
        (refusing(403, {}), "the speech server answers 403"),
        (refusing(404, {"detail": "no such model"}), "the speech server answers 404"),
        (refusing(429, {}), "the speech server answers 429"),
        (refusing(500, {"detail": "CUDA error"}), "the speech server answers 500"),
        (sending(tone(), 201), "the speech server answers 201"),
        (sending(b"", 307, headers={"Location": "/v1/audio/speech"}), "the speech server answers 307"),
        (sending(b"", 302, headers={"Location": "http://127.0.0.1:9/"}), "the speech server answers 302"),
        (sending(tone(), headers={"Content-Length": "999999"}), "does not answer (RemoteProtocolError)"),
        (sending(tone()[:-600]), "broke off: 23400 of 24000 bytes came"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n"), "does not answer (RemoteProtocolError)"),
        (lambda handler: None, "does not answer (RemoteProtocolError)"),
    ],
)
def test_a_server_that_fails_is_told(make: Make, server: SpeechServer, answer: Behaviour, said: str) -> None:
    server.answer = answer
    failed(make(tts_url=server.url, tts_key=SECRET), said)
    assert len(server.paths) == 1  # no redirect was followed


def test_a_server_that_is_away_is_told(make: Make) -> None:
    failed(make(tts_url="http://127.0.0.1:9", tts_key=SECRET), "does not answer (ConnectError)")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://tts", "tts:8880", "http://", "http://user:hush@tts/v1", "http://tts/v1?key=hush", "http://tts/#hush"),
        *("http://tts:99999", "http://tts:0", "http://t ts", "http://tts/a b", "http://tts\n", "file:///etc/passwd"),
    ],
)
def test_an_address_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(InvalidSettingsError, match=r"^PIRENDERER_TTS_URL: it is http://HOST") as caught:
        read_settings(Settings, tts_url=url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["HTTP://TTS:8880", "http://[::1]:8880/v1", "https://tts.example/openai/v1/"])
def test_an_address_may_be_any_host(url: str) -> None:
    assert read_settings(Settings, tts_url=url).tts_url == f"{url.rstrip('/').removesuffix('/v1')}/v1"


@pytest.mark.parametrize("key", ["hush hush", "hush\nX-Other: 1", "hüsh"])
def test_a_key_that_is_none_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(InvalidSettingsError, match=r"^PIRENDERER_TTS_KEY: a key is printable ASCII") as caught:
        read_settings(Settings, tts_key=key)
    assert "sh" not in str(caught.value).replace("should", "")
