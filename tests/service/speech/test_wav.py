"""Headers of WAV files that were written before their length was known."""

import io
import struct
import wave

import pytest

from service.speech import wav
from tests.support.speech_server import RATE, tone, unmeasured

SOUND = tone(0.1)


def mended(sound: bytes) -> bytes:
    file = io.BytesIO(sound)
    wav.mend(file)
    return file.getvalue()


def with_list(sound: bytes, length: int) -> bytes:
    """The same with a chunk of an odd length before the samples, as FFmpeg writes one."""
    return sound[:36] + b"LIST" + struct.pack("<I", length) + b"x" * (length + length % 2) + sound[36:]


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 2_000_000_000])
def test_a_length_that_is_none_becomes_the_true_one(length: int) -> None:
    assert mended(unmeasured(SOUND, length)) == SOUND


def test_chunks_before_the_samples_are_passed_over() -> None:
    sound = mended(with_list(unmeasured(SOUND), 7))
    with wave.open(io.BytesIO(sound)) as file:
        assert file.getnframes() == RATE // 10
    assert sound[4:8] == struct.pack("<I", len(sound) - 8)


@pytest.mark.parametrize(
    "file",
    [
        SOUND,
        SOUND + b"LIST\4\0\0\0abcd",
        b"",
        b"RIFF",
        SOUND[:40],
        b"RIFF\xff\xff\xff\xffAVI " + bytes(40),
        b"fLaC" + bytes(60),
        b"RIFF\xff\xff\xff\xffWAVE" + bytes(1 << 20),  # a hundred thousand empty chunks
    ],
)
def test_all_other_files_stay_as_they_are(file: bytes) -> None:
    assert mended(file) == file


def test_a_file_that_ends_too_soon_is_told_from_one_without_a_length() -> None:
    with pytest.raises(wav.BrokenOffError, match="4400 of 4800 bytes"):
        mended(SOUND[:-400])
