"""Sound files that nobody expects, from the file to the motion: served as they sound, or refused by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from jobs.problems import ProblemError, ProblemType
from model.audio import SpeechStyle, SpeechToMotion
from model.evaluation.audio.synchrony import correlation, opening_gradient
from model.morphable import MorphableModel
from tests.support.limits import SOUND_LIMITS
from tests.support.paths import ROOT
from worker.media.audio import read_speech


@pytest.fixture(scope="module")
def opening() -> Callable[[Path], np.ndarray]:
    """The opening of the mouth (T,) that is likeliest for a file."""
    speaker, gradient = SpeechToMotion.load(), opening_gradient(MorphableModel.load()).numpy()

    def of(path: Path) -> np.ndarray:
        style = SpeechStyle(temperature=0, blink_rate=0)
        blocks = speaker.stream(read_speech(path, SOUND_LIMITS), np.zeros(70, np.float32), style)
        return np.concatenate([block[:, :64] @ gradient for block in blocks])

    return of


@pytest.fixture(scope="module")
def said() -> np.ndarray:
    return soundfile.read(ROOT / "service/samples/speech.flac", dtype="float32")[0][:64_000]


def one_side(sound: np.ndarray) -> np.ndarray:
    return np.stack([sound, np.zeros_like(sound)], axis=1)


def above_hearing(sound: np.ndarray) -> np.ndarray:
    return sound + 0.4 * np.sin(2 * np.pi * 30_000 * np.arange(len(sound)) / 96_000).astype(np.float32)


# rate, kind of samples, what becomes of the speech, and how alike the mouth's opening has to be
FILES: dict[str, tuple[int, str, Callable[[np.ndarray], np.ndarray], float]] = {
    "one side": (16_000, "PCM_16", one_side, 0.98),
    "96 kHz": (96_000, "PCM_24", above_hearing, 0.95),
    "8 kHz": (8_000, "PCM_16", lambda sound: sound, 0.6),
    "8 bits": (8_000, "PCM_U8", lambda sound: 2 * sound, 0.5),
    "odd rate": (11_025, "ULAW", lambda sound: sound, 0.6),
    "huge numbers": (48_000, "FLOAT", lambda sound: 1e20 * sound, 0.95),
    "constant": (44_100, "PCM_24", lambda sound: 0.1 * sound + 0.8, 0.95),
    "quiet": (16_000, "PCM_24", lambda sound: 0.05 * sound, 0.95),
}


@pytest.mark.parametrize("kind", FILES)
def test_speech_in_an_odd_file_moves_the_mouth_as_it_does_in_a_plain_one(
    kind: str, said: np.ndarray, opening: Callable[[Path], np.ndarray], tmp_path: Path
) -> None:
    rate, subtype, change, agreement = FILES[kind]
    plain, odd = tmp_path / "plain.wav", tmp_path / "odd.wav"
    soundfile.write(plain, said, 16_000)
    soundfile.write(odd, change(soxr.resample(said, 16_000, rate)), rate, subtype=subtype)
    expected, got = opening(plain), opening(odd)
    assert len(got) == pytest.approx(len(expected), abs=1)
    both = slice(6, min(len(got), len(expected)) - 8)
    assert correlation(got[both], expected[both]) > agreement


@pytest.mark.parametrize("rate", [1, 7, 100, 4_000, 1_000_000])
def test_any_rate_is_served(rate: int, said: np.ndarray, opening: Callable[[Path], np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.resize(said, rate), rate)
    assert len(opening(path)) == 25
    assert np.isfinite(opening(path)).all()


@pytest.mark.parametrize(
    ("sound", "told"),
    [
        (np.full(160, 0.5), "0.01 seconds of sound; at least 0.1"),
        (np.zeros(16_000), "is silent: its peak is -200 dBFS"),
        (np.full(16_000, 9e-4), "is silent: its peak is -61 dBFS"),
    ],
    ids=["10 ms", "zeros", "too quiet"],
)
def test_what_cannot_be_speech_is_refused_with_what_it_is(sound: np.ndarray, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, sound, 16_000, subtype="FLOAT")
    with pytest.raises(ProblemError, match=told) as caught:
        read_speech(path, SOUND_LIMITS)
    assert caught.value.problem_type is ProblemType.SILENT_AUDIO


@pytest.mark.parametrize(
    ("length", "kind"),
    [(1, ProblemType.UNSUPPORTED_MEDIA), (43, ProblemType.SILENT_AUDIO), (100, ProblemType.SILENT_AUDIO)],
)
def test_a_file_of_some_bytes_is_refused(length: int, kind: ProblemType, said: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, said, 16_000)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ProblemError) as caught:
        read_speech(path, SOUND_LIMITS)
    assert caught.value.problem_type is kind


@pytest.mark.parametrize(("at", "size"), [(22, 2), (24, 4), (34, 2)], ids=["channels", "rate", "bits"])
def test_a_header_without_channels_rate_or_bits_is_refused(
    at: int, size: int, said: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, said, 16_000)
    data = bytearray(path.read_bytes())
    data[at : at + size] = bytes(size)
    path.write_bytes(data)
    with pytest.raises(ProblemError) as caught:
        read_speech(path, SOUND_LIMITS)
    assert caught.value.problem_type is ProblemType.UNREADABLE_MEDIA
