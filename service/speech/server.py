"""Speech by a server that the operator names and that speaks OpenAI's API: POST /v1/audio/speech."""

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from jobs.problems import ProblemType
from service.http.problems import ProblemError
from service.settings import Settings
from service.speech.synthesizer import SpeechFailedError, Synthesizer, Voice

DEFAULT_VOICE = "alloy"
CONNECT_S = 5.0
FOR_THE_CLIENT = (400, 413, 422)  # statuses by which servers refuse a text or a voice
ERROR_BYTES = 8192  # of an error's body that are read
ERROR_CHARACTERS = 200  # of what it says that are told
ERROR_FIELDS = ("message", "msg", "error", "detail")  # in which servers say it, one within another


class SpeechServer(Synthesizer):
    """The server at `url`, which ends in /v1."""

    name = "server"

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = f"{url}/audio/speech"
        self._key = settings.tts_key.get_secret_value() if settings.tts_key else ""
        self._model = settings.tts_model
        self.voices = tuple(Voice(id=voice) for voice in settings.tts_voices)
        self.default = settings.tts_voice or (self.voices[0].id if self.voices else DEFAULT_VOICE)
        key = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout_s = settings.tts_timeout_s
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", **key},
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
        )

    async def synthesize(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        """As Synthesizer says. Redirects are not followed."""
        body = {"model": self._model, "input": text, "voice": voice, "response_format": "wav"}
        try:
            async with self._client.stream("POST", self._url, json=body) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise await self._refused(answer, text, voice)
                async for chunk in answer.aiter_raw():
                    yield chunk
        except httpx.HTTPError as error:
            raise SpeechFailedError(f"the speech server does not answer ({type(error).__name__})") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _refused(self, answer: httpx.Response, text: str, voice: str) -> Exception:
        status = answer.status_code
        if status not in FOR_THE_CLIENT:
            return SpeechFailedError(f"the speech server answers {status}")
        said = await self._said(answer)
        return ProblemError(
            ProblemType.INVALID_REQUEST,
            f"the speech server refuses voice {voice!r} or text of {len(text)} characters"
            f" ({status}): {said or 'it does not say why'}",
            got=voice,
            allowed=[each.id for each in self.voices] or None,
        )

    async def _said(self, answer: httpx.Response) -> str:
        """Why it refuses, as one short line of plain text; our key, which some servers repeat, is taken out."""
        body = b""
        async for chunk in answer.aiter_raw():
            body += chunk[: ERROR_BYTES - len(body)]
            if len(body) == ERROR_BYTES:
                break
        kind = answer.headers.get("content-type", "").partition(";")[0]
        text = body.decode(errors="replace") if kind == "text/plain" else _message(body)
        hidden = text.replace(self._key, "…") if self._key else text
        return "".join(filter(str.isprintable, " ".join(hidden.split())))[:ERROR_CHARACTERS]


def _message(body: bytes) -> str:
    """The text in an error that is JSON, however it is nested; "" where there is none."""
    found: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(body)
    while isinstance(found, dict | list):
        inner = found[:1] if isinstance(found, list) else [found[name] for name in ERROR_FIELDS if name in found]
        found = inner[0] if inner else None
    return found if isinstance(found, str) else ""
