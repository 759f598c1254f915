"""Speech by the program espeak-ng: robotic, but in more than a hundred languages, at once, and without any server."""

import asyncio
import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Self

import structlog
from anyio import CapacityLimiter

from jobs.problems import ProblemType
from service.http.problems import ProblemError
from service.settings import Settings
from service.speech.synthesizer import Gender, SpeakerName, SpeechFailedError, Synthesizer, Voice

log = structlog.get_logger(__name__)

PROGRAM: SpeakerName = "espeak-ng"
LAUNCHER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py")))
DEFAULT_VOICE = "en"
AT_ONCE = 2  # processes; each keeps a core busy, for a third of a second for the longest text
MEMORY_BYTES = 512 << 20
CRASHES = tuple(-each for each in (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV))
LISTING_S = 10.0  # for the list of voices
CHUNK_BYTES = 1 << 16
# Initials are put into 80 bytes, however many there are, unless each is a sentence
INITIALS = re.compile(r"(?:\S\.\s*){17,}")
PHONEMES = re.compile(r"\[(?=\[)")  # two brackets begin phonemes, which are not text
# Columns: priority, language, age/gender, name, file, and other languages with priorities as `(en 2)`
LINE = re.compile(r"\s*\d+\s+(\w[\w-]*)\s+\S*/(\S)\s+\S+\s+(\w[\w/-]*)(.*)")
OTHER = re.compile(r"\((\w[\w-]*) (\d+)\)")
GENDERS: dict[str, Gender] = {"M": "male", "F": "female"}
KEPT = ("PATH", "LD_LIBRARY_PATH", "ESPEAK_DATA_PATH")  # of our environment, which has keys in it
NO_SOUND_SERVER = {"PULSE_SERVER": "/dev/null"}  # else one is looked for, and folders are made for it


class Espeak(Synthesizer):
    """Each text is spoken by a process of its own. `listing` is what the program says of its voices."""

    name = PROGRAM

    def __init__(self, binary: str, listing: str, settings: Settings) -> None:
        self._binary = binary
        self._computing_s = math.ceil(settings.tts_timeout_s)
        self._slots = CapacityLimiter(AT_ONCE)
        self._files, self.voices = _read_voices(listing)
        self.default = settings.tts_voice or DEFAULT_VOICE

    @classmethod
    def find(cls, settings: Settings) -> Self | None:
        """The program that is installed, or None."""
        binary = shutil.which(PROGRAM)
        if binary is None:
            return None
        try:
            listed = subprocess.run(
                _confined(math.ceil(LISTING_S), binary, "--voices"),
                env=_environment(), capture_output=True, text=True, timeout=LISTING_S, check=True,
            )  # fmt: skip
        except (OSError, UnicodeError, subprocess.SubprocessError) as error:
            log.warning("espeak-ng does not list its voices", error=str(error))
            return None
        found = cls(binary, listed.stdout, settings)
        if not found.voices:
            log.warning("espeak-ng lists no voices")
        return found if found.voices else None

    async def synthesize(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        """As Synthesizer says. The process ends with the generator at the latest."""
        async with self._slots:
            process = await self._start(voice)
            try:
                await _tell(process, _harmless(text))
                assert process.stdout is not None  # noqa: S101 - a pipe
                while chunk := await process.stdout.read(CHUNK_BYTES):
                    yield chunk
                code = await process.wait()
                if code in CRASHES:
                    raise _breaks_down(text)
                if code == os.EX_UNAVAILABLE:
                    raise SpeechFailedError("espeak-ng cannot be started")
                if code:
                    raise SpeechFailedError(f"espeak-ng ended with {code}")
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.communicate()

    async def _start(self, voice: str) -> asyncio.subprocess.Process:
        """A process that waits for its text."""
        arguments = ("--stdin", "--stdout", "-b", "1", "-v", self._files[voice])  # 1: UTF-8
        try:
            return await asyncio.create_subprocess_exec(
                *_confined(self._computing_s, self._binary, *arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        except OSError as error:
            raise SpeechFailedError(f"espeak-ng cannot be started: {error.strerror}") from error


def _confined(seconds: int, *command: str) -> tuple[str, ...]:
    """The command that runs a command which may speak and do nothing else, for so many seconds of computing."""
    return (*LAUNCHER, str(MEMORY_BYTES), str(seconds), *command)


def _harmless(text: str) -> str:
    """A text without what would be more than text to the program."""
    return INITIALS.sub(lambda found: found[0].replace(".", ". "), PHONEMES.sub("[ ", text))


def _breaks_down(text: str) -> ProblemError:
    """The refusal of a text, since the program would break down over it again."""
    log.warning("espeak-ng broke down over a text", characters=len(text))
    detail = f"espeak-ng breaks down over this text of {len(text)} characters; change it, or send speech as audio"
    return ProblemError(ProblemType.INVALID_REQUEST, detail, got=text)


async def _tell(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # as above
        try:
            process.stdin.write(text.encode())
            await process.stdin.drain()
        finally:
            process.stdin.close()


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT if name in os.environ} | NO_SOUND_SERVER


def _read_voices(listing: str) -> tuple[dict[str, str], tuple[Voice, ...]]:
    """The file of each voice by the voice's id, which is a language; and the voices in the order of their ids.

    Where several speak a language, a voice of that very language counts, else the one of the best priority.
    """
    found: list[tuple[int, str, str, str]] = []
    for language, gender, file, others in LINE.findall(listing):
        found.append((0, language, gender, file))
        found.extend((int(priority), other, gender, file) for other, priority in OTHER.findall(others))
    files: dict[str, str] = {}
    voices = []
    for _, language, gender, file in sorted(found, key=lambda each: each[0]):
        if language not in files:
            files[language] = file
            voices.append(Voice(id=language, language=language, gender=GENDERS.get(gender)))
    return files, tuple(sorted(voices, key=lambda each: each.id))
