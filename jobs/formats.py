"""The formats of results: what options call them, their media types and the suffixes of their files."""

from typing import Literal, NamedTuple

ImageFormat = Literal["png", "jpeg", "webp"]
VideoFormat = Literal["mp4"]
FormatName = Literal[ImageFormat, VideoFormat, "json", "zip"]


class Format(NamedTuple):
    """A format of results; `suffix` is without its dot, `kind` says what lies in such a file."""

    name: FormatName
    media_type: str
    suffix: str
    kind: Literal["image", "video", "motion", "archive"]


_ALL = (
    Format("png", "image/png", "png", "image"),
    Format("jpeg", "image/jpeg", "jpg", "image"),
    Format("webp", "image/webp", "webp", "image"),
    Format("mp4", "video/mp4", "mp4", "video"),
    Format("json", "application/json", "json", "motion"),
    Format("zip", "application/zip", "zip", "archive"),
)
FORMATS: dict[FormatName, Format] = {each.name: each for each in _ALL}
SUFFIXES = {each.media_type: each.suffix for each in _ALL}
RESULT_TYPES = tuple(SUFFIXES)
BY_SUFFIX = {f".{suffix}": each for each in _ALL for suffix in (each.suffix, each.name)}
"""With the dot, in lower case; a JPEG may also be written as `.jpeg`."""
RENDERED = tuple(suffix for suffix, each in BY_SUFFIX.items() if each.kind in ("image", "video"))
"""The suffixes of pictures and videos."""
