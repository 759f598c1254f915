"""Speech in, from every container a person may upload; files are made here by libsndfile and FFmpeg."""

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from jobs.problems import ProblemError, ProblemType
from tests.support.limits import SOUND_LIMITS
from worker.media.audio import open_sound, read_speech
from worker.media.limits import AudioLimits
from worker.media.mp4 import mp4_writer


def tone(seconds: float, rate: int, hertz: float = 440.0, channels: int = 1) -> np.ndarray:
    """A tone that swells and falls, float32 (N, channels)."""
    t = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * hertz * t) * np.sin(np.pi * t / seconds)
    return np.repeat(wave[:, None].astype(np.float32), channels, axis=1)


def write_with_ffmpeg(
    path: Path,
    samples: np.ndarray,
    rate: int,
    codec: str,
    options: dict[str, str] | None = None,
    *,
    variable_bit_rate: bool = False,
) -> Path:
    channels = samples.shape[1]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        if variable_bit_rate:
            stream.codec_context.qscale = True
        stream.layout = "mono" if channels == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def similarity(samples: np.ndarray, wanted: np.ndarray) -> float:
    """Correlation without any shift, over the common length."""
    n = min(len(samples), len(wanted))
    return float(np.corrcoef(samples[:n], wanted[:n])[0, 1])


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("a.wav", 44_100, 2, "PCM_16"),
        ("a.wav", 48_000, 1, "FLOAT"),
        ("a.wav", 8_000, 1, "PCM_U8"),
        ("a.wav", 96_000, 6, "PCM_24"),
        ("a.flac", 16_000, 1, "PCM_24"),
        ("a.ogg", 48_000, 2, "VORBIS"),
        ("a.ogg", 48_000, 1, "OPUS"),
        ("a.mp3", 44_100, 2, "MPEG_LAYER_III"),
        ("a.aiff", 44_100, 2, "PCM_16"),
    ],
)
def test_libsndfile_formats(tmp_path: Path, name: str, rate: int, channels: int, subtype: str) -> None:
    path = tmp_path / name
    soundfile.write(path, tone(2, rate, channels=channels), rate, subtype=subtype)
    speech = read_speech(path, SOUND_LIMITS)
    samples = np.concatenate([*speech])
    assert samples.dtype == np.float32
    assert speech.seconds == pytest.approx(2, abs=0.03)
    assert similarity(samples, tone(2, 16_000)[:, 0]) > 0.97
    assert speech.sound.rate == rate
    assert speech.sound.channels == channels
    assert sum(len(block) for block in speech.sound.blocks()) == pytest.approx(2 * rate, rel=0.015)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.m4a", "aac"), ("a.aac", "aac"), ("a.webm", "libopus"), ("a.mov", "aac"), ("a.mka", "aac")]
)
def test_ffmpeg_formats(tmp_path: Path, name: str, codec: str) -> None:
    path = write_with_ffmpeg(tmp_path / name, tone(2, 48_000, channels=2), 48_000, codec)
    speech = read_speech(path, SOUND_LIMITS)
    assert speech.seconds == pytest.approx(2, abs=0.05)
    lead = 0 if name != "a.aac" else 1024 // 3  # raw AAC cannot say that its first frame is the encoder's own
    assert similarity(np.concatenate([*speech])[lead:], tone(2, 16_000)[:, 0]) > 0.98


def test_amr(tmp_path: Path) -> None:
    path = write_with_ffmpeg(tmp_path / "a.amr", tone(2, 8_000), 8_000, "libopencore_amrnb")
    speech = read_speech(path, SOUND_LIMITS)
    assert (speech.seconds, speech.sound.rate) == (pytest.approx(2, abs=0.05), 8_000)
    assert similarity(np.concatenate([*speech])[80:], tone(2, 16_000)[:, 0]) > 0.9


def test_an_mp3_may_begin_with_zeros(tmp_path: Path) -> None:
    path = write_with_ffmpeg(tmp_path / "a.mp3", tone(2, 48_000), 48_000, "libmp3lame", options={"id3v2_version": "0"})
    plain = read_speech(path, SOUND_LIMITS).seconds
    assert path.read_bytes()[0] == 0xFF
    path.write_bytes(bytes(300) + path.read_bytes())
    assert read_speech(path, SOUND_LIMITS).seconds == pytest.approx(plain, abs=0.06)


def test_what_an_id3_tag_hides_is_refused_like_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(tmp_path / "a.au", tone(1, 16_000), 16_000)
    path.write_bytes(b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + (tmp_path / "a.au").read_bytes())
    error = refused(path)
    assert error.problem_type is ProblemType.UNSUPPORTED_MEDIA
    assert error.got == "AU"


def refused(path: Path, limits: AudioLimits | None = None) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        read_speech(path, limits or SOUND_LIMITS)
    return caught.value


def test_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((0, 1)), 16_000)
    error = refused(path)
    assert error.problem_type is ProblemType.SILENT_AUDIO
    assert "0 seconds" in error.detail
    assert "0.1" in error.detail


def test_silent(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(16_000, 1e-5), 16_000, subtype="FLOAT")
    error = refused(path)
    assert error.problem_type is ProblemType.SILENT_AUDIO
    assert "-100 dBFS" in error.detail
    assert "-60 is the least" in error.detail


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_numbers(tmp_path: Path, bad: float) -> None:
    samples = tone(1, 16_000)
    samples[100:103] = bad
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    error = refused(path)
    assert error.got == 3
    assert error.allowed == 0
    assert "3 samples that are no numbers (NaN or infinite); all must be finite" in error.detail


def test_too_long_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(3, 16_000), 16_000)
    with pytest.raises(ProblemError) as caught:
        open_sound(path, replace(SOUND_LIMITS, seconds=2))
    assert caught.value.problem_type is ProblemType.AUDIO_TOO_LONG
    assert "3.0 seconds long; at most 2" in caught.value.detail


def test_too_long_without_a_header(tmp_path: Path) -> None:
    path = write_with_ffmpeg(tmp_path / "a.aac", tone(3, 16_000), 16_000, "aac")
    error = refused(path, replace(SOUND_LIMITS, seconds=2))
    assert error.problem_type is ProblemType.AUDIO_TOO_LONG


def test_too_many_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1, 16_000), 16_000)
    error = refused(path, replace(SOUND_LIMITS, bytes=1000))
    assert (error.problem_type, error.got, error.allowed) == (ProblemType.TOO_LARGE, path.stat().st_size, 1000)


def test_too_many_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1, 16_000, channels=12), 16_000)
    assert "12 channels; at most 8" in refused(path).detail


def test_not_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("hello, this is a text and no sound\n" * 50)
    error = refused(path)
    assert error.problem_type is ProblemType.UNSUPPORTED_MEDIA
    assert "b'hello, t'" in error.detail


def test_truncated_m4a(tmp_path: Path) -> None:
    path = write_with_ffmpeg(tmp_path / "a.m4a", tone(2, 48_000), 48_000, "aac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # the index is at the end, and gone
    error = refused(path)
    assert error.problem_type is ProblemType.UNREADABLE_MEDIA
    assert "damaged or truncated" in error.detail


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.flac", "a.wav", "a.webm"])
def test_sound_that_was_cut_off_is_refused_and_not_served_short(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.m4a":
        sound = write_with_ffmpeg(tmp_path / name, tone(4, 48_000), 48_000, "aac", options={"movflags": "faststart"})
    elif name == "a.webm":
        sound = write_with_ffmpeg(tmp_path / name, tone(4, 48_000), 48_000, "libopus")
    else:
        soundfile.write(path, tone(4, 48_000), 48_000)
        sound = path
    read_speech(sound, SOUND_LIMITS)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    error = refused(path)
    assert error.problem_type is ProblemType.UNREADABLE_MEDIA
    assert "damaged or truncated" in error.detail
    assert "avcodec" not in error.detail
    if name == "a.mp3":
        assert "it ends after 1.9 of the 4.0 seconds that its header says" in error.detail
        assert (error.got, error.allowed) == (pytest.approx(1.9, abs=0.1), 4.0)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_of_a_program_that_did_not_know_its_length_is_heard_to_its_end(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2, 16_000), 16_000)
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", size)  # behind "data"
    path.write_bytes(data)
    assert read_speech(path, SOUND_LIMITS).seconds == 2


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.aac", "aac")])
@pytest.mark.parametrize("pause_first", [True, False])
def test_a_length_guessed_from_the_first_bit_rate_is_not_believed(
    tmp_path: Path, name: str, codec: str, pause_first: bool
) -> None:
    noise = 0.3 * np.random.default_rng(0).standard_normal((32_000, 1)).astype(np.float32)
    pause = np.zeros((6 * len(noise), 1), np.float32)
    samples = np.concatenate([pause, noise] if pause_first else [noise, pause])
    path = write_with_ffmpeg(
        tmp_path / name, samples, 16_000, codec, options={"write_xing": "0"}, variable_bit_rate=name == "a.mp3"
    )
    speech = read_speech(path, replace(SOUND_LIMITS, seconds=20))
    assert speech.seconds == pytest.approx(14, abs=0.15)
    power = np.concatenate([*speech])[: 14 * 16_000].reshape(14, -1).var(axis=1)
    assert int(power.argmax()) // 2 == (6 if pause_first else 0)
    assert np.median(power) < 1e-3 < power.max()


def test_what_stands_behind_the_sound_of_an_mp3_is_passed_over(tmp_path: Path) -> None:
    path = write_with_ffmpeg(tmp_path / "a.mp3", tone(2, 48_000), 48_000, "libmp3lame", options={"write_xing": "0"})
    seconds = read_speech(path, SOUND_LIMITS).seconds
    path.write_bytes(path.read_bytes() + b"LYRICSBEGIN" + b"la la la " * 400)
    assert read_speech(path, SOUND_LIMITS).seconds == pytest.approx(seconds, abs=0.03)


@pytest.mark.parametrize("samples", [1, 1599])
def test_a_sound_too_short_to_speak_in(tmp_path: Path, samples: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(samples, 0.5), 16_000)
    error = refused(path)
    assert error.problem_type is ProblemType.SILENT_AUDIO
    assert f"{samples / 16_000:g} seconds of sound; at least 0.1 are needed" in error.detail


def test_channels_that_cancel_are_silent(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    left = tone(1, 16_000)
    soundfile.write(path, np.concatenate([left, -left], axis=1), 16_000, subtype="FLOAT")
    assert "is silent" in refused(path).detail


def test_the_sound_of_a_video_is_its_speech(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    soundfile.write(tmp_path / "a.wav", tone(2, 48_000), 48_000)
    with mp4_writer(path, width=64, height=64, fps=25, sound=open_sound(tmp_path / "a.wav", SOUND_LIMITS)) as writer:
        for _ in range(50):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    speech = read_speech(path, SOUND_LIMITS)
    assert speech.seconds == pytest.approx(2, abs=0.03)
    assert similarity(np.concatenate([*speech]), tone(2, 16_000)[:, 0]) > 0.98


def test_video_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    error = refused(path)
    assert error.problem_type is ProblemType.SILENT_AUDIO
    assert "no sound in it" in error.detail


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "secret.wav", tone(1, 16_000), 16_000)
    path = tmp_path / "a.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.0,\nsecret.wav\n#EXT-X-ENDLIST\n")
    assert refused(path).problem_type is ProblemType.UNSUPPORTED_MEDIA
    path.write_text("ffconcat version 1.0\nfile secret.wav\n")
    assert refused(path).problem_type is ProblemType.UNSUPPORTED_MEDIA
