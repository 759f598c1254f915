"""What texts are spoken at all, and who speaks them."""

import errno
import os
from typing import NoReturn

import pytest

from jobs.problems import ProblemError, ProblemType
from service.http import problems
from tests.service.speech.conftest import Make, spoken
from tests.support.speech_server import SpeechServer, tone


@pytest.mark.parametrize("text", ["a", "7", " x ", "é", "你好", "a\tb\r\nc\n", "<b>[[x]]</b>", "😀 ok", "x" * 4096])
def test_texts_that_are_taken(make: Make, server: SpeechServer, text: str) -> None:
    assert spoken(make(tts_url=server.url), text) == tone()
    assert server.bodies[0]["input"] == text.strip()


@pytest.mark.parametrize(
    ("text", "detail", "got"),
    [
        ("", "text has 0 characters; allowed are 1 to 4096", 0),
        (" \n\t ", "text has 0 characters; allowed are 1 to 4096", 0),
        ("x" * 4097, "text has 4097 characters; allowed are 1 to 4096", 4097),
        ("a\0b", "text has the control character '\\x00'; allowed are tabs and ends of lines", "'\\x00'"),
        ("a\x01b", "text has the control character '\\x01'", "'\\x01'"),
        ("a\x1bb", "text has the control character '\\x1b'", "'\\x1b'"),
        ("a\x9bb", "text has the control character '\\x9b'", "'\\x9b'"),
        ("a\ud800b", "text has the control character '\\ud800'", "'\\ud800'"),
        ("… ?!", "text has no letter and no digit, so there is nothing to say", "… ?!"),
        ("👋", "text has no letter and no digit", "👋"),
    ],
)
def test_texts_that_are_not(make: Make, server: SpeechServer, text: str, detail: str, got: object) -> None:
    speaker = make(tts_url=server.url)
    with pytest.raises(ProblemError) as caught:
        spoken(speaker, text)
    assert caught.value.problem_type is ProblemType.INVALID_REQUEST
    assert caught.value.detail.startswith(detail)
    assert caught.value.got == got
    caught.value.detail.encode()
    assert server.bodies == []


def test_the_length_is_a_setting(make: Make, server: SpeechServer) -> None:
    make(tts_url=server.url, max_text_characters=5).check("12345")
    with pytest.raises(ProblemError, match="allowed are 1 to 5"):
        make(tts_url=server.url, max_text_characters=5).check("123456")


def test_where_nothing_speaks_the_operator_is_told_what_to_do(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    speaker = make()
    assert (speaker.name, speaker.voices, speaker.default) == (None, (), None)
    with pytest.raises(problems.ProblemError, match=r"PIRENDERER_TTS_URL or to install espeak-ng") as caught:
        spoken(speaker)
    assert caught.value.problem_type is ProblemType.NO_SPEECH_SERVICE
    assert caught.value.headers == {"Retry-After": "3600"}


def test_a_disk_without_room_is_told(make: Make, server: SpeechServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("service.speech.speaker.TemporaryFile", full)
    with pytest.raises(ProblemError, match="cannot be stored: No space left on device") as caught:
        spoken(make(tts_url=server.url))
    assert caught.value.problem_type is ProblemType.STORAGE_FULL
