"""Opening uploaded media with FFmpeg, safely: only plain container formats, only the file itself."""

from pathlib import Path
from typing import Any

import av

from service.jobs.problems import ProblemType
from worker.errors import InputError

# Playlists and scripts (hls, dash, concat, ...) may name other files or hosts and are therefore not here.
DEMUXERS = "aac,aiff,amr,avi,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpegts,ogg,wav"
_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}

# How the files begin that we would have read, had they been whole.
_MAGIC = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\x1a\x45\xdf\xa3")


def reason(error: Exception) -> str:
    """What went wrong, in FFmpeg's words, without the name of the function that said so."""
    return str(error.strerror if isinstance(error, av.FFmpegError) else error)


def open_container(path: Path, name: str, *, allowed: str) -> Any:
    """Open a media file for reading: an av.container.InputContainer, to be closed by the caller.

    `name` is what messages call the file and `allowed` says in words what would have been accepted.
    Raises InputError: unsupported-media or unreadable-media.
    """
    try:
        return av.open(str(path), options=dict(_OPTIONS))
    except (av.FFmpegError, ValueError) as error:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(_MAGIC) or start[4:8] == b"ftyp":
            raise InputError(ProblemType.UNREADABLE_MEDIA, f"the {name} is damaged or truncated") from error
        raise InputError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"the {name} is not {allowed}; it starts with the bytes {start!r}",
            got=start.hex(" "),
            allowed=allowed,
        ) from error
