"""What espeak-ng speaks, where it is installed: the real program."""

import asyncio
import gc
import io
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import soundfile

from jobs.problems import ProblemError, ProblemType
from service.speech.espeak import AT_ONCE, MEMORY_BYTES, NO_SOUND_SERVER, Espeak
from tests.service.speech.conftest import Make, spoken
from tests.support.limits import SOUND_LIMITS
from tests.support.processes import until
from worker import decoding

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")

SENTENCE = "The quick brown fox jumps over the lazy dog."
LONG = "One, two, three, four. " * 20_000


def seconds(sound: bytes) -> float:
    """By a reader that believes the header."""
    with wave.open(io.BytesIO(sound)) as file:
        assert file.getnframes() * file.getsampwidth() == len(sound) - 44
        return file.getnframes() / file.getframerate()


def children() -> list[psutil.Process]:
    """Those that speak, or are about to."""
    return [each for each in psutil.Process().children() if any("espeak" in part for part in _command(each))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return [process.name(), *process.cmdline()]
    except psutil.ZombieProcess:
        return [process.name()]


def bounded() -> list[psutil.Process]:
    return [each for each in children() if each.rlimit(psutil.RLIMIT_AS) == (MEMORY_BYTES, MEMORY_BYTES)]


def test_a_sentence_lasts_as_long_as_people_take_for_it(make: Make) -> None:
    sound = spoken(make(), SENTENCE)
    assert 2 < seconds(sound) < 4
    samples, rate = soundfile.read(io.BytesIO(sound))
    assert len(samples) / rate == seconds(sound)
    assert abs(samples).max() > 0.1
    assert spoken(make(), f"\n {SENTENCE}\t") == sound


@pytest.mark.slow
def test_workers_read_it(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(spoken(make(), SENTENCE))
    speech = decoding.read_speech(path, SOUND_LIMITS)
    assert speech.seconds == pytest.approx(seconds(path.read_bytes()), abs=0.01)
    path.unlink()


@pytest.mark.parametrize("voice", ["en", "de", "hi", "cmn"])
def test_it_speaks_as_it_does_by_itself(make: Make, voice: str) -> None:
    speaker = make()
    assert isinstance(speaker._synthesizer, Espeak)
    file = speaker._synthesizer._files[voice]
    assert spoken(speaker, SENTENCE, voice)[44:] == _raw(SENTENCE, file)[44:]


def test_languages_differ(make: Make) -> None:
    speaker = make()
    known = {voice.id: voice for voice in speaker.voices}
    assert len(known) > 50
    assert {"en", "en-us", "de", "fr", "zh"} <= set(known)
    assert known["de"].gender == "male"
    assert (speaker.name, speaker.default) == ("espeak-ng", "en")
    assert list(known) == sorted(known)
    assert len({spoken(make(), "Paris Berlin 99", voice) for voice in ("en", "de", "fr")}) == 3
    assert spoken(make(tts_voice="de")) == spoken(make(), voice="de") != spoken(make())


@pytest.mark.slow
def test_every_voice_speaks(make: Make) -> None:
    speaker = make()
    for voice in speaker.voices:
        assert len(spoken(speaker, "1", voice.id)) > 1000, voice


def test_text_is_text(make: Make) -> None:
    """Neither phonemes nor markup nor options."""
    phonemes = "[[h@l'oU w3:ld]]"
    interpreted = _raw(phonemes)
    for text in (phonemes, f"[{phonemes}]", f"[[{phonemes}]]"):
        assert len(spoken(make(), text)) > 1.2 * len(interpreted)
    assert seconds(spoken(make(), 'a <break time="30s"/> b')) < 10
    assert seconds(spoken(make(), "--version")) > 0.5
    assert seconds(spoken(make(), "-f /etc/passwd")) < 5
    assert seconds(spoken(make(), "Grüße 👋 안녕 مرحبا", "de")) > 1


def _replace(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a script speak in the place of the program."""
    program = folder / "espeak-ng"
    program.write_text(
        f"#!/bin/sh\nif [ $1 = --voices ]; then echo ' 5  en  --/M  English  gmw/en  (en 2)'; exit; fi\n{script}\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def _raw(text: str, voice: str = "en") -> bytes:
    command = ["espeak-ng", "--stdin", "--stdout", "-b", "1", "-v", voice]
    return subprocess.run(command, input=text.encode(), env=NO_SOUND_SERVER, capture_output=True, check=True).stdout


@pytest.mark.parametrize("voice", ["nobody", "-v", "--version", "gmw/en", "en+f3", "../en", "EN", "e\0n", "x" * 10_000])
def test_a_voice_that_is_none_is_refused_with_those_that_are(make: Make, voice: str) -> None:
    with pytest.raises(ProblemError) as caught:
        make().check("Hello", voice)
    assert caught.value.problem_type is ProblemType.INVALID_REQUEST
    assert caught.value.got == voice
    assert len(caught.value.allowed) == 40
    assert "/v1/voices" in caught.value.detail


def test_voices_alike_are_named_first(make: Make) -> None:
    with pytest.raises(ProblemError) as caught:
        make().check("Hello", "en-au")
    assert caught.value.allowed[0].startswith("en")


def test_who_goes_takes_the_process_along(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is bounded meanwhile, and sees none of our keys; and of many texts a few are spoken at once."""
    monkeypatch.setenv("PIRENDERER_API_KEYS", "secret " * 8)
    speaker = make(max_text_characters=len(LONG))
    most = 0

    async def leave() -> None:
        nonlocal most
        tasks = [asyncio.create_task(speaker.speak(LONG).__aenter__()) for _ in range(2 * AT_ONCE)]
        await asyncio.to_thread(until, bounded, "nothing speaks within bounds")
        process = bounded()[0]
        assert not any("secret" in value for value in process.environ().values())
        assert not any("One" in argument for argument in process.cmdline())
        await asyncio.to_thread(until, lambda: len(children()) >= AT_ONCE, "one speaks at a time")
        for _ in range(10):
            await asyncio.sleep(0.01)
            most = max(most, len(children()))
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended

    asyncio.run(leave())
    assert children() == []
    assert most == AT_ONCE


def test_who_goes_at_once_leaves_nothing_either(make: Make) -> None:
    """Whatever is half made then: the process, its pipes."""
    speaker = make(max_text_characters=len(LONG))

    async def leave(turns: int) -> None:
        task = asyncio.create_task(speaker.speak(LONG).__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for turns in range(15):
        asyncio.run(leave(turns))
        assert children() == []
    gc.collect()  # which tells of files that are open


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"tts_timeout_s": 0.05}, ProblemType.SPEECH_FAILED, "the speech was not there after 0.05 s"),
        ({"max_audio_bytes": 100_000}, ProblemType.AUDIO_TOO_LONG, "larger than the 100000 bytes allowed"),
    ],
)
def test_time_and_size_are_bounded(make: Make, settings: dict[str, float], kind: ProblemType, said: str) -> None:
    speaker = make(max_text_characters=len(LONG), **settings)
    with pytest.raises(ProblemError, match=said) as caught:
        spoken(speaker, LONG)
    assert caught.value.problem_type is kind
    assert children() == []


@pytest.mark.parametrize("letters", ["A.", "é.", "é.é. ", "अ.", "\U00010400."])
def test_very_many_initials_are_spoken(make: Make, letters: str) -> None:
    assert seconds(spoken(make(), letters * 100)) > 5


def test_a_text_over_which_it_breaks_down_is_refused(
    make: Make, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESPEAK_DATA_PATH", sys.base_prefix)  # which may be read
    python = Path(sys.executable).resolve()
    _replace(tmp_path_factory.mktemp("bin"), monkeypatch, f"exec {python} -IS -c 'import os; os.abort()'")
    with pytest.raises(ProblemError, match="espeak-ng breaks down over this text of 44 characters") as caught:
        spoken(make(), SENTENCE)
    assert caught.value.problem_type is ProblemType.INVALID_REQUEST
    assert children() == []


@pytest.mark.parametrize("script", ["exit 3", "read line; exit 3", "exec cat"])
def test_a_program_that_fails_is_told(
    make: Make, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    _replace(tmp_path_factory.mktemp("bin"), monkeypatch, script)
    with pytest.raises(ProblemError) as caught:
        spoken(make())
    assert caught.value.problem_type is ProblemType.SPEECH_FAILED
    assert children() == []


def test_a_program_without_voices_is_none(
    make: Make, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path_factory.mktemp("bin") / "espeak-ng"
    program.write_text("#!/bin/sh\necho 'Pty Language Age/Gender VoiceName'\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    assert make().name is None


def test_a_program_that_is_gone_is_told(make: Make, tmp_path_factory: pytest.TempPathFactory) -> None:
    speaker = make()
    synthesizer = speaker._synthesizer
    assert isinstance(synthesizer, Espeak)
    synthesizer._binary = str(tmp_path_factory.mktemp("bin") / "espeak-ng")
    with pytest.raises(ProblemError, match="espeak-ng cannot be started"):
        spoken(speaker)
