"""Sound in: speech as the audio model hears it, and the original sound for the video.

Two readers behind one face: libsndfile (WAV, FLAC, OGG, MP3, AIFF), and FFmpeg for what it does not know (M4A, AAC,
AMR, WebM, the sound of videos). Both stream, so the length is checked before and while decoding. MP3 without a header
that counts its frames is FFmpeg's too: libsndfile guesses the length from the first bit rate, and reads no more.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from jobs.media_types import AUDIO_TYPES, SOUNDS, VIDEO_TYPES, listed
from jobs.problems import ProblemError, ProblemType
from model.arrays import Floats, Samples
from model.footage import picture_stream
from worker.media.containers import AUDIO_CODECS, check_codec, open_container, reason
from worker.media.files import check_size, check_type
from worker.media.limits import AudioLimits

SPEECH_RATE = 16_000
LEAST_SECONDS = 0.1
MOST_CHANNELS = 8
SILENCE_DBFS = -60.0  # a peak below it is silence
ALLOWED = f"a sound file ({listed(SOUNDS)}) or a video with sound"
BLOCK = 65_536  # samples decoded at once
LARGEST_LOSS_S = 0.25  # that a header may promise too much; more is a sound that was cut off
UNKNOWN_BYTES = 2**31 - 2**16  # this and more is what programs write into a WAV's header that do not know the length
GUESSED = ("aac", "amr")  # formats without a length: FFmpeg guesses it from the bit rate of the first frames
# libsndfile knows many more, and looks for them even behind a tag that is an MP3's
SNDFILE_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF")
_SHORT_DATA = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)  # in libsndfile's log


@dataclass(frozen=True)
class Sound:
    """A sound file that can be decoded again and again, a block at a time.

    `rate` in Hz; `blocks` yields float32 (n, channels) in -1..1.
    """

    path: Path
    rate: int
    channels: int
    seconds: float | None  # as the header says; None where it does not
    with_ffmpeg: bool
    name: str = "audio"

    def blocks(self) -> Iterator[Samples]:
        """Decode from the start. Raises ProblemError unreadable-media where the file is damaged."""
        return _ffmpeg_blocks(self) if self.with_ffmpeg else _sndfile_blocks(self)


@dataclass(frozen=True)
class Speech:
    """What drives a talking head: `sound` with a voice in it, as often gone through as one likes."""

    sound: Sound
    seconds: float

    def __iter__(self) -> Iterator[Floats]:
        """Decode from the start: mono samples (n,) at 16 kHz, channels averaged."""
        return _mono(self.sound.blocks(), self.sound.rate)


def open_sound(path: Path, limits: AudioLimits, *, name: str = "audio") -> Sound:
    """Read the header of a sound file or of a video with sound, and refuse what is not allowed.

    Raises ProblemError: too-large, unreadable-media, unsupported-media or audio-too-long.
    """
    check_size(path, limits.bytes, name)
    check_type(path, {*AUDIO_TYPES, *VIDEO_TYPES}, ALLOWED, name)
    try:
        with soundfile.SoundFile(path) as file:
            _check_format(file.format, name)
            sound = _of_libsndfile(file, path, name)
            if file.format == "MP3" and (guessed := _open_with_ffmpeg(path, name)).seconds is None:
                sound = guessed
    except soundfile.LibsndfileError:
        sound = _open_with_ffmpeg(path, name)
    if sound.channels > MOST_CHANNELS:
        raise ProblemError(
            ProblemType.UNREADABLE_MEDIA,
            f"the {name} has {sound.channels} channels; at most {MOST_CHANNELS} are allowed",
            got=sound.channels,
            allowed=MOST_CHANNELS,
        )
    if sound.seconds is not None and sound.seconds > limits.seconds:
        raise _too_long(sound.seconds, limits, name)
    return sound


def read_speech(path: Path, limits: AudioLimits, *, name: str = "audio") -> Speech:
    """Go through a sound once, holding none of it, and refuse what is no speech.

    Raises ProblemError as `open_sound`; silent-audio for sound without samples, of silence or with NaN in it, and
    unreadable-media for one that ends before its header says.
    """
    return checked_speech(open_sound(path, limits, name=name), limits)


def checked_speech(sound: Sound, limits: AudioLimits) -> Speech:
    """Go through a sound that is open already. Raises ProblemError as `read_speech`."""
    name = sound.name
    length, peak = 0, 0.0
    for block in sound.blocks():
        length += len(block)
        if length > limits.seconds * sound.rate:
            raise _too_long(length / sound.rate, limits, name)
        bad = int(np.count_nonzero(~np.isfinite(block)))
        if bad:
            raise ProblemError(
                ProblemType.SILENT_AUDIO,
                f"the {name} has {bad} samples that are no numbers (NaN or infinite); all must be finite",
                got=bad,
                allowed=0,
            )
        mono = block.mean(axis=1)  # what is loud and the opposite in two channels is silent in their mean
        peak = max(peak, float(np.abs(mono).max(initial=0)))
    seconds = length / sound.rate
    _check_audible(seconds, peak, limits, name)
    if sound.seconds is not None and seconds < sound.seconds - LARGEST_LOSS_S:
        cut = f"it ends after {seconds:.1f} of the {sound.seconds:.1f} seconds that its header says"
        raise _damaged(sound, cut, got=round(seconds, 3), allowed=round(sound.seconds, 3))
    return Speech(sound, seconds)


def _mono(blocks: Iterator[Floats], rate: int) -> Iterator[Samples]:
    resampler = soxr.ResampleStream(rate, SPEECH_RATE, 1, dtype="float32")
    for block in blocks:
        yield resampler.resample_chunk(block.mean(axis=1))
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _check_audible(seconds: float, peak: float, limits: AudioLimits, name: str) -> None:
    if seconds < LEAST_SECONDS:
        raise ProblemError(
            ProblemType.SILENT_AUDIO,
            f"the {name} has {seconds:g} seconds of sound; at least {LEAST_SECONDS:g} are needed",
            got=seconds,
            allowed=LEAST_SECONDS,
        )
    peak_dbfs = 20 * np.log10(max(peak, 1e-10))
    if peak_dbfs < SILENCE_DBFS:
        raise ProblemError(
            ProblemType.SILENT_AUDIO,
            f"the {name} is silent: its peak is {peak_dbfs:.0f} dBFS, {SILENCE_DBFS:.0f} is the least",
            got=round(peak_dbfs, 1),
            allowed=SILENCE_DBFS,
        )


def _too_long(seconds: float, limits: AudioLimits, name: str) -> ProblemError:
    return ProblemError(
        ProblemType.AUDIO_TOO_LONG,
        f"the {name} is {seconds:.1f} seconds long; at most {limits.seconds:g} are allowed",
        got=round(seconds, 3),
        allowed=limits.seconds,
    )


def _damaged(sound: Sound, why: str, **found: float) -> ProblemError:
    return ProblemError(ProblemType.UNREADABLE_MEDIA, f"the {sound.name} is damaged or truncated: {why}", **found)


def _check_format(form: str, name: str) -> None:
    if form not in SNDFILE_FORMATS:
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"the {name} is a file of the kind {form}, not {ALLOWED}",
            got=form,
            allowed=list(SNDFILE_FORMATS),
        )


def _of_libsndfile(file: soundfile.SoundFile, path: Path, name: str) -> Sound:
    seconds = file.frames / file.samplerate
    short = _SHORT_DATA.search(file.extra_info)  # a WAV whose header says more than there is; frames are what there is
    if short and int(short[2]) and int(short[1]) < UNKNOWN_BYTES:
        seconds *= int(short[1]) / int(short[2])
    return Sound(path, file.samplerate, file.channels, seconds, with_ffmpeg=False, name=name)


def _sndfile_blocks(sound: Sound) -> Iterator[Samples]:
    try:
        with soundfile.SoundFile(sound.path) as file:
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                yield block
    except soundfile.LibsndfileError as error:
        raise _damaged(sound, reason(error)) from error


def _open_with_ffmpeg(path: Path, name: str) -> Sound:
    with open_container(path, name, allowed=ALLOWED) as container:
        if not container.streams.audio:
            raise ProblemError(ProblemType.SILENT_AUDIO, f"the {name} has no sound in it", got=0, allowed=ALLOWED)
        stream = container.streams.audio[0]
        check_codec(stream, AUDIO_CODECS, f"{name}'s sound")
        if not stream.codec_context or not stream.rate or not stream.channels:
            raise ProblemError(ProblemType.UNREADABLE_MEDIA, f"the {name}'s sound cannot be decoded")
        seconds = _promised_seconds(container, stream)
        return Sound(path, stream.rate, stream.channels, seconds, with_ffmpeg=True, name=name)


def _promised_seconds(container: Any, stream: Any) -> float | None:
    """What the header says; None where it does not, and FFmpeg has guessed."""
    form = container.format.name
    if form in GUESSED or (form == "mp3" and not stream.start_time):
        return None  # the header of an MP3 that counts its frames tells of the encoder's delay as well
    if "matroska" in form:  # has one length for all its tracks
        alone = stream.duration is None and len(container.streams) == 1
        return float(container.duration / av.time_base) if alone and container.duration else None
    return None if stream.duration is None else float(stream.duration * stream.time_base)


def _ffmpeg_blocks(sound: Sound) -> Iterator[Samples]:
    """Decode the first sound track so that it stays in step with the picture, if there is one.

    Sound from before the first picture is cut, a late start is filled with silence.
    """
    resampler = av.AudioResampler(format="flt", rate=sound.rate)
    cut: int | None = None  # samples still to be dropped; unknown until the first frame's time is
    try:
        with open_container(sound.path, sound.name, allowed=ALLOWED) as container:
            for frame in _decoded(container):
                if cut is None:
                    cut = round(_lead(container, frame) * sound.rate)
                    yield from _silence(-cut, sound.channels)
                for converted in resampler.resample(frame):
                    block = _interleaved(converted)
                    yield block[max(cut, 0) :]
                    cut -= len(block)
            for converted in resampler.resample(None):
                yield _interleaved(converted)
    except (av.FFmpegError, ValueError) as error:  # ValueError: the format changes on the way
        raise _damaged(sound, reason(error)) from error


def _decoded(container: Any) -> Iterator[Any]:
    """Frames of the first sound track. What in an MP3 is no sound, as a tag at its end, is passed over."""
    for packet in container.demux(audio=0):
        try:
            yield from packet.decode()
        except av.InvalidDataError:
            if container.format.name != "mp3":
                raise


def _lead(container: Any, first: Any) -> float:
    """Seconds by which the sound begins before the picture; 0 without a picture."""
    picture = picture_stream(container)
    if picture is None or picture.start_time is None or first.time is None:
        return 0.0
    return float(picture.start_time * picture.time_base) - float(first.time)


def _silence(length: int, channels: int) -> Iterator[Samples]:
    for start in range(0, length, BLOCK):
        yield np.zeros((min(BLOCK, length - start), channels), np.float32)


def _interleaved(frame: Any) -> Floats:
    samples: Samples = frame.to_ndarray()
    return samples.reshape(-1, frame.layout.nb_channels)
