"""The formats of results: what options call them, their media types and the suffixes of their files.

A name counts among those of its kind: `webp` is an image, or a video without sound.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

ImageFormat = Literal["png", "jpeg", "webp"]
VideoFormat = Literal["mp4", "webm", "gif", "webp"]


LONGEST_SIDE = 1920  # pixels of a video whose size was not asked for; larger ones few devices play
LONGEST_SIDE_OF_PICTURES = 640  # the same of those that grow large, since each frame is a picture by itself


class Format(NamedTuple):
    """A format of results; `suffix` is without its dot.

    longest_side: in pixels, where the size was not asked for; None: as large as the photo.
    """

    media_type: str
    suffix: str
    longest_side: int | None = None


IMAGE_FORMATS: dict[ImageFormat, Format] = {
    "png": Format("image/png", "png"),
    "jpeg": Format("image/jpeg", "jpg"),
    "webp": Format("image/webp", "webp"),
}
VIDEO_FORMATS: dict[VideoFormat, Format] = {
    "mp4": Format("video/mp4", "mp4", LONGEST_SIDE),
    "webm": Format("video/webm", "webm", LONGEST_SIDE),
    "gif": Format("image/gif", "gif", LONGEST_SIDE_OF_PICTURES),
    "webp": Format("image/webp", "webp", LONGEST_SIDE_OF_PICTURES),
}
JSON = Format("application/json", "json")
ZIP = Format("application/zip", "zip")

SUFFIXES = {each.media_type: each.suffix for each in (*IMAGE_FORMATS.values(), *VIDEO_FORMATS.values(), JSON, ZIP)}
RESULT_TYPES = tuple(SUFFIXES)


def _by_suffix(formats: Iterable[tuple[str, Format]]) -> dict[str, str]:
    return {f".{suffix}": name for name, each in formats for suffix in (each.suffix, name)}


BY_SUFFIX = {"image": _by_suffix(IMAGE_FORMATS.items()), "video": _by_suffix(VIDEO_FORMATS.items())}
"""Names of formats by kind and suffix, with the dot, in lower case; a JPEG may also be written as `.jpeg`."""
RENDERED = tuple(dict.fromkeys(suffix for suffixes in BY_SUFFIX.values() for suffix in suffixes))
"""The suffixes of pictures and videos."""
