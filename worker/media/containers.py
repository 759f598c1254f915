"""Opening uploaded media with FFmpeg, safely: plain formats and codecs, the file itself, pictures of bounded size."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av

from jobs.problems import ProblemError, ProblemType

# Playlists and scripts (hls, dash, concat, ...) may name other files or hosts and are therefore not here.
DEMUXERS = "aac,aiff,amr,avi,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpegts,ogg,wav"

# What phones, cameras and browsers record in and what goes with it. FFmpeg has some hundred more, each a way in.
VIDEO_CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "mpeg2video", "h263", "dvvideo")
_PCM = ("u8", "s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "f64le", "f64be")
_OLD = ("pcm_alaw", "pcm_mulaw", "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms")
_PACKED = ("aac", "aac_latm", "ac3", "eac3", "alac", "amr_nb", "amr_wb", "flac", "mp2", "mp3", "opus", "vorbis")
AUDIO_CODECS = (*_PACKED, *_OLD, *(f"pcm_{form}" for form in _PCM))

LARGEST_PICTURE = 3840 * 2160  # pixels, where it is not the picture that is wanted
MOST_ADDED = 1 << 16  # pixels, to small pictures; to large ones it is a share of them
THREADS = 2

# How the files begin that we would have read, had they been whole.
_MAGIC = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\x1a\x45\xdf\xa3")


def reason(error: Exception) -> str:
    """What went wrong, in FFmpeg's words, without the name of the function that said so."""
    return str(error.strerror if isinstance(error, av.FFmpegError) else error)


def open_container(path: Path, name: str, *, allowed: str, pixels: int = LARGEST_PICTURE) -> Any:
    """Open a media file for reading: an av.container.InputContainer, to be closed by the caller.

    Nothing is decoded that has another codec or more than `pixels` a picture, not even to find out what is in the file.
    `name` is what messages call the file and `allowed` says in words what would have been accepted.
    Raises ProblemError: unsupported-media or unreadable-media.
    """
    # decoders count what they add to the sides as well; those who read the frames know their precise size
    bounds = {"max_pixels": str(pixels * 5 // 4 + MOST_ADDED), "codec_whitelist": _DECODERS}
    try:
        container = av.open(str(path), options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file", **bounds})
    except (av.FFmpegError, ValueError) as error:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(_MAGIC) or start[4:8] == b"ftyp":
            raise ProblemError(ProblemType.UNREADABLE_MEDIA, f"the {name} is damaged or truncated") from error
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"the {name} is not {allowed}; it starts with the bytes {start!r}",
            got=start.hex(" "),
            allowed=allowed,
        ) from error
    for stream in (*container.streams.video, *container.streams.audio):
        if stream.codec_context is not None:
            stream.codec_context.options = bounds
            stream.codec_context.thread_count = THREADS
    return container


def check_codec(stream: Any, allowed: Sequence[str], name: str) -> None:
    """Refuse a stream of another codec. Raises ProblemError unsupported-media."""
    codec = stream.codec_context and stream.codec_context.codec.canonical_name
    if codec and codec not in allowed:
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"the {name} is encoded as {codec}; allowed are {', '.join(allowed)}",
            got=codec,
            allowed=list(allowed),
        )


def _decoders_of(codecs: Sequence[str]) -> Iterator[str]:
    """FFmpeg's decoders of these codecs, some of which have several."""
    for name in sorted(av.codecs_available):
        try:
            decoder = av.Codec(name, "r")
        except av.codec.codec.UnknownCodecError:  # it only encodes
            continue
        if decoder.canonical_name in codecs:
            yield name


_DECODERS = ",".join(_decoders_of([*VIDEO_CODECS, *AUDIO_CODECS]))
