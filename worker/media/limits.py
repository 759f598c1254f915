"""What is accepted of files, before anything is decoded and while it is."""

from dataclasses import dataclass

from jobs.image_headers import MAX_SIDE

MOST_PIXELS = 3840 * 2160  # of a frame of a video


@dataclass(frozen=True)
class ImageLimits:
    """Bytes of the file, and the pixels it unfolds to: in all, and of a side."""

    bytes: int
    pixels: int
    side: int = MAX_SIDE


@dataclass(frozen=True)
class AudioLimits:
    """Bytes of the file and seconds of sound."""

    bytes: int
    seconds: float


@dataclass(frozen=True)
class VideoLimits:
    """Bytes of the file, its length in seconds and the pixels of one frame."""

    bytes: int
    seconds: float
    pixels: int
