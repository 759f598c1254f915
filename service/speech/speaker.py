"""Speaks the texts of jobs: by the server that is set, else by espeak-ng where it is installed."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import BinaryIO, Self

import structlog

from jobs.media_types import AUDIO_TYPES, HEAD_BYTES, SOUND_OF, recognise
from jobs.problems import ProblemType
from service.http.problems import ProblemError
from service.settings import MAX_VOICE_CHARACTERS, Settings
from service.speech import wav
from service.speech.espeak import Espeak
from service.speech.server import SpeechServer
from service.speech.synthesizer import SpeakerName, SpeechFailedError, Synthesizer, Voice

log = structlog.get_logger(__name__)

# All but tab and the ends of lines; halves of surrogate pairs, which JSON can spell, are no characters at all
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
SHOWN_VOICES = 40
CHUNK_BYTES = 1 << 16
INSTALL_S = 3600  # to ask again after, where nothing is installed that speaks


class Speaker:
    """What speaks here, if anything does."""

    def __init__(self, synthesizer: Synthesizer | None, settings: Settings) -> None:
        self._synthesizer = synthesizer
        self._settings = settings

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The speaker that the settings and the machine give."""
        server = SpeechServer(settings.tts_url, settings) if settings.tts_url else None
        return cls(server or Espeak.find(settings), settings)

    @property
    def name(self) -> SpeakerName | None:
        """Which way it speaks; None: there is none."""
        return self._synthesizer.name if self._synthesizer else None

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The voices that may be asked for; none where any may, or where nothing speaks."""
        return self._synthesizer.voices if self._synthesizer else ()

    @property
    def default(self) -> str | None:
        """The voice of those who ask for none."""
        return self._synthesizer.default if self._synthesizer else None

    def check(self, text: str, voice: str | None = None) -> None:
        """Raise ProblemError for what cannot be spoken: 422 for the text or the voice, 503 where nothing speaks."""
        self._check_voice(voice or self._speaking().default)
        text, most = text.strip(), self._settings.max_text_characters
        if not 0 < len(text) <= most:
            raise ProblemError(
                ProblemType.INVALID_REQUEST,
                f"text has {len(text)} characters; allowed are 1 to {most}",
                got=len(text),
                allowed=most,
            )
        if control := CONTROL.search(text):
            raise ProblemError(
                ProblemType.INVALID_REQUEST,
                f"text has the control character {control[0]!r}; allowed are tabs and ends of lines",
                got=ascii(control[0]),
            )
        if not any(map(str.isalnum, text)):
            raise ProblemError(
                ProblemType.INVALID_REQUEST, "text has no letter and no digit, so there is nothing to say", got=text
            )

    @contextlib.asynccontextmanager
    async def speak(self, text: str, voice: str | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The speech as a file, mostly WAV, in pieces; when the `with` block begins it is there, whole and checked.

        Raises ProblemError as `check` does, 422 for what becomes too long, 503 when it fails and 507 without room.
        """
        self.check(text, voice)
        synthesizer = self._speaking()
        with ExitStack() as stack:
            try:
                file = stack.enter_context(TemporaryFile(dir=self._settings.data_dir))
                await self._collect(synthesizer, text.strip(), voice or synthesizer.default, file)
            except SpeechFailedError as error:
                log.warning("a text was not spoken", speaker=synthesizer.name, error=str(error))
                again = {"Retry-After": str(self._settings.retry_after_s)}
                raise ProblemError(ProblemType.SPEECH_FAILED, str(error), headers=again) from error
            except OSError as error:
                detail = f"the speech of the text cannot be stored: {error.strerror}"
                raise ProblemError(ProblemType.STORAGE_FULL, detail) from error
            yield _chunks(file)

    async def close(self) -> None:
        """End what is kept open."""
        if self._synthesizer:
            await self._synthesizer.close()

    def _speaking(self) -> Synthesizer:
        if self._synthesizer is None:
            raise ProblemError(
                ProblemType.NO_SPEECH_SERVICE,
                "nothing here speaks texts; the operator has to set PIRENDERER_TTS_URL or to install espeak-ng",
                headers={"Retry-After": str(INSTALL_S)},
            )
        return self._synthesizer

    def _check_voice(self, voice: str) -> None:
        known = [each.id for each in self.voices]
        if voice in known:
            return
        if known:
            alike = sorted(known, key=lambda each: not each.startswith(voice[:2]))  # which first: the same language
            raise ProblemError(
                ProblemType.INVALID_REQUEST,
                f"voice is {voice!r}, which is none of the {len(known)} that /v1/voices lists",
                got=voice,
                allowed=alike[:SHOWN_VOICES],
            )
        if len(voice) > MAX_VOICE_CHARACTERS or not voice.isprintable():
            raise ProblemError(
                ProblemType.INVALID_REQUEST,
                f"voice has {len(voice)} characters; allowed are 1 to {MAX_VOICE_CHARACTERS}, all of them printable",
                got=voice,
            )

    async def _collect(self, synthesizer: Synthesizer, text: str, voice: str, file: BinaryIO) -> None:
        """Let a text be spoken into a file, within the time and the size that are set."""
        limit, timeout_s = self._settings.max_audio_bytes, self._settings.tts_timeout_s
        try:
            async with (
                asyncio.timeout(timeout_s),
                contextlib.aclosing(synthesizer.synthesize(text, voice)) as sound,
            ):
                async for chunk in sound:
                    if file.tell() + len(chunk) > limit:
                        raise _too_long(limit)
                    file.write(chunk)
            wav.mend(file)
        except TimeoutError as error:
            raise SpeechFailedError(f"the speech was not there after {timeout_s:g} s") from error
        except wav.BrokenOffError as error:
            raise SpeechFailedError(f"the speech broke off: {error}") from error
        file.seek(0)
        media_type = recognise(file.read(HEAD_BYTES))
        if SOUND_OF.get(media_type, media_type) not in AUDIO_TYPES:
            raise SpeechFailedError(f"what came for speech is {media_type}, which is no sound that is taken")


def _too_long(limit: int) -> ProblemError:
    detail = f"the speech of the text is larger than the {limit} bytes allowed"
    return ProblemError(ProblemType.AUDIO_TOO_LONG, detail, got=f"> {limit}", allowed=limit)


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
        await asyncio.sleep(0)  # a disk keeps nobody waiting, so others have to be let in between
