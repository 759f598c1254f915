"""Recognises uploads by their first bytes and reads an image's size from its header, decoding nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from service.jobs.problems import ProblemType
from service.jobs.schemas import MAX_IMAGE_SIDE
from service.problems import ProblemError

# Our own limit is applied to the size in the header, before pixels are decoded; Pillow's would only warn.
Image.MAX_IMAGE_PIXELS = None

HEAD_BYTES = 64

IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
AUDIO_TYPES = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", "audio/mp4", "audio/webm")
VIDEO_TYPES = ("video/mp4", "video/quicktime", "video/webm")

SUFFIXES = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "application/json": "json",
}

# What begins with these bytes; some are only known so as to say what was got.
MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"<svg", "image/svg+xml"),
    (b"<", "text/html"),
)
RIFF_FORMS = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
ISO_BRANDS = {
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heic",
    b"avif": "image/avif",
}
UNKNOWN = "application/octet-stream"

# These containers do not say at their beginning whether there are pictures in them. Where sound is wanted, theirs is.
SOUNDS = {"video/mp4": "audio/mp4", "video/quicktime": "audio/mp4", "video/webm": "audio/webm"}


def recognise(head: bytes) -> str:
    """The media type a file's first bytes speak of; `application/octet-stream` for what we do not know."""
    if head[:4] in (b"RIFF", b"RF64"):
        return RIFF_FORMS.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return ISO_BRANDS.get(head[8:12], "video/mp4")
    for magic, media_type in MAGIC:
        if head.startswith(magic):
            return media_type
    # A bare MPEG audio frame: eleven sync bits, a layer that is not reserved, a bit rate that is not forbidden
    if len(head) >= 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 and head[2] & 0xF0 != 0xF0:
        return "audio/mpeg"
    return UNKNOWN


def accept(field: str, head: bytes, allowed: Sequence[str]) -> str:
    """The media type of an upload if its field takes it. Raises ProblemError (415, or 422 for an empty file)."""
    if not head:
        raise ProblemError(
            ProblemType.UNREADABLE_MEDIA, f"{field} is an empty file", got="0 bytes", allowed=list(allowed)
        )
    media_type = recognise(head)
    if media_type not in allowed and SOUNDS.get(media_type) in allowed:
        media_type = SOUNDS[media_type]
    if media_type not in allowed:
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"{field} looks like {media_type}; allowed are {', '.join(allowed)}",
            got=media_type,
            allowed=list(allowed),
        )
    return media_type


def check_image(field: str, path: Path, *, max_pixels: int) -> tuple[int, int]:
    """Read an image's width and height from its header. Raises ProblemError: header unreadable, too many pixels."""
    with path.open("rb") as file:
        width, height = _image_size(field, file)
    if width * height > max_pixels:
        raise ProblemError(
            ProblemType.TOO_MANY_PIXELS,
            f"{field} has {width} x {height} = {width * height} pixels; allowed are {max_pixels}",
            got=width * height,
            allowed=max_pixels,
        )
    if max(width, height) > MAX_IMAGE_SIDE:
        raise ProblemError(
            ProblemType.TOO_MANY_PIXELS,
            f"{field} has {width} x {height} pixels; allowed are {MAX_IMAGE_SIDE} a side",
            got=max(width, height),
            allowed=MAX_IMAGE_SIDE,
        )
    return width, height


def _image_size(field: str, file: BinaryIO) -> tuple[int, int]:
    try:
        with Image.open(file, formats=["JPEG", "PNG", "WEBP"]) as image:
            return image.size
    except Exception as error:  # Pillow's header readers raise whatever a malformed header leads them to
        raise ProblemError(
            ProblemType.UNREADABLE_MEDIA,
            f"{field} has no readable image header",
            got=f"{type(error).__name__}: {error}".replace(str(getattr(file, "name", "")), field),
            allowed="a whole JPEG, PNG or WebP file",
        ) from error
