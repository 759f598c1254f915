"""What is accepted of files, before anything is decoded and while it is."""

from dataclasses import dataclass

MOST_PIXELS = 3840 * 2160  # of a frame of a video


@dataclass(frozen=True)
class ImageLimits:
    """Bytes of the file and the number of pixels it unfolds to."""

    bytes: int
    pixels: int


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
