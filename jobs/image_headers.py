"""Width and height of an image by its header. Nothing is decoded, and no file takes long.

What decoders have to go through before the picture is bounded here, and so are the scans of a JPEG: each takes a
few bytes, and a decoder as long as the whole picture.
"""

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from jobs.problems import ProblemError, ProblemType

MAX_SIDE = 32_766  # pixels: what the libraries that cut and move pictures can address
MOST_PARTS = 1000  # segments of a JPEG; chunks or boxes before the picture of others
MOST_SCANS = 100  # of a JPEG
MOST_FILLING = 1 << 16  # bytes between the segments of a JPEG, before its picture
MOST_META = 1 << 20  # bytes of a HEIF's description of its pictures
MOST_ITEMS = 10_000  # of a HEIF

# Second bytes of JPEG's markers. Behind all but the first two come data of a length that is told.
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")  # others are part of a scan, or of what fills up


class ImageHeaderError(Exception):
    """An image's header cannot be read, or more of it than is allowed; the text goes on from the image's name."""

    def __init__(self, detail: str, *, got: object = None, allowed: object = None) -> None:
        super().__init__(detail)
        self.got = got
        self.allowed = allowed


def image_size(source: Path | bytes, media_type: str) -> tuple[int, int]:
    """Width and height in pixels of a file, or of one in memory, that begins like an image of `media_type`.

    That is one of IMAGE_TYPES. A HEIF's or AVIF's are those after its own rotation; EXIF counts nowhere. Raises
    ImageHeaderError.
    """
    read = {"image/jpeg": _jpeg_size, "image/png": _png_size, "image/webp": _webp_size}.get(media_type, _heif_size)
    with source.open("rb", buffering=0) if isinstance(source, Path) else io.BytesIO(source) as file:
        width, height = read(file)
    if not width or not height:
        raise ImageHeaderError("has no pixels", got=f"{width} x {height}", allowed="at least 1 x 1")
    return width, height


def check_image(
    name: str, source: Path | bytes, media_type: str, *, max_pixels: int, max_side: int = MAX_SIDE
) -> tuple[int, int]:
    """Width and height in pixels as `image_size` has them, if no more than is allowed.

    `name` is what messages call the image. Raises ProblemError: unreadable-media or too-many-pixels.
    """
    try:
        size = image_size(source, media_type)
    except ImageHeaderError as error:
        raise ProblemError(
            ProblemType.UNREADABLE_MEDIA, f"{name} {error}", got=error.got, allowed=error.allowed
        ) from error
    check_pixels(name, size, max_pixels=max_pixels, max_side=max_side)
    return size


def check_pixels(name: str, size: tuple[int, int], *, max_pixels: int, max_side: int = MAX_SIDE) -> None:
    """Refuse an image of a width and height beyond what is allowed. Raises ProblemError: too-many-pixels."""
    width, height = size
    if width * height > max_pixels:
        raise ProblemError(
            ProblemType.TOO_MANY_PIXELS,
            f"{name} has {width} x {height} = {width * height} pixels; allowed are {max_pixels}",
            got=width * height,
            allowed=max_pixels,
        )
    if max(width, height) > max_side:
        raise ProblemError(
            ProblemType.TOO_MANY_PIXELS,
            f"{name} has {width} x {height} pixels; allowed are {max_side} a side",
            got=max(width, height),
            allowed=max_side,
        )


def _jpeg_size(file: BinaryIO) -> tuple[int, int]:
    size = None
    scans = parts = filling = 0
    place = 2
    while (marker := _next_marker(file, place, None if scans else MOST_FILLING - filling)) is not None:
        found, kind = marker
        if kind in (_START, _END):  # no decoder goes on behind them
            break
        filling += 0 if scans else found - place
        parts += 1
        scans += kind == _SCAN
        if parts > MOST_PARTS:
            raise _too_many("segments", MOST_PARTS)
        if scans > MOST_SCANS:
            raise _too_many("scans", MOST_SCANS)
        segment = _read(file, found + 2, 7)
        length = int.from_bytes(segment[:2], "big")
        if kind in _FRAMES and size is None:
            size = int.from_bytes(segment[5:7], "big"), int.from_bytes(segment[3:5], "big")
        if length < 2 or (scans and size is None):
            break
        place = found + 2 + length
    if size is None or not scans:
        raise _unreadable("a whole JPEG file")
    return size


def _next_marker(file: BinaryIO, place: int, most: int | None) -> tuple[int, int] | None:
    """Where the next marker is and its second byte; None where the file ends before.

    It lies at `place`, or behind it by no more than `most` bytes.
    """
    skipped, length = 0, 64
    while len(block := _read(file, place + skipped, length)) > 1:
        found = _MARKER.search(block)
        skipped += found.start() if found else len(block) - 1
        if most is not None and skipped > most:
            raise _too_many("bytes between its segments", MOST_FILLING)
        if found:
            return place + skipped, found[0][1]
        length = min(4 * length, 1 << 16)  # searched at once: meanwhile no other thread runs
    return None


def _png_size(file: BinaryIO) -> tuple[int, int]:
    first = _read(file, 8, 16)
    if first[:8] != b"\0\0\0\x0dIHDR" or len(first) < 16:
        raise _unreadable("a whole PNG file")
    place = 8
    for _ in range(MOST_PARTS):
        head = _read(file, place, 8)
        if len(head) < 8:
            raise _unreadable("a whole PNG file")
        if head[4:] == b"IDAT":
            return int.from_bytes(first[8:12], "big"), int.from_bytes(first[12:16], "big")
        place += 12 + int.from_bytes(head[:4], "big")
    raise _too_many("chunks before its picture", MOST_PARTS)


def _webp_size(file: BinaryIO) -> tuple[int, int]:
    head = _read(file, 12, 18)  # of the first chunk: its name, its length, and ten bytes of it
    kind, data = head[:4], head[8:]
    if len(data) == 10:
        if kind == b"VP8X":
            return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
        if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
            return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF
        if kind == b"VP8L" and data[0] == 0x2F:
            bits = int.from_bytes(data[1:5], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise _unreadable("a whole WebP file")


class Box(NamedTuple):
    """A box of a HEIF: its kind, and where what it holds starts and ends."""

    kind: bytes
    start: int
    end: int


def _heif_size(file: BinaryIO) -> tuple[int, int]:
    """The extent of the primary item, as its properties tell it."""
    meta = read_meta(file)
    size, turned = None, False
    for box in properties_in(meta, primary_of(meta)):
        if box.kind == b"ispe":
            place = box.start + 4
            size = int.from_bytes(meta[place : place + 4], "big"), int.from_bytes(meta[place + 4 : place + 8], "big")
        elif box.kind == b"irot":
            turned = bool(meta[box.start : box.end] and meta[box.start] & 1)
    if size is None:
        raise _unreadable("a whole HEIC or AVIF file")
    return size[::-1] if turned else size


def read_meta(file: BinaryIO) -> bytes:
    """What a HEIF says of its pictures: the content of its `meta` box. Raises ImageHeaderError."""
    end = file.seek(0, os.SEEK_END)
    meta = next((box for box in _boxes(lambda place: _read(file, place, 16), 0, end) if box.kind == b"meta"), None)
    if meta is None:
        raise _unreadable("a whole HEIC or AVIF file with a picture that is not one of a sequence")
    if meta.end - meta.start > MOST_META:
        raise ImageHeaderError(
            "has too long a description of its pictures", got=meta.end - meta.start, allowed=MOST_META
        )
    return _read(file, meta.start, meta.end - meta.start)


def primary_of(meta: bytes) -> int:
    """The number of the item that is to be shown. Raises ImageHeaderError."""
    box = next((box for box in boxes_in(meta, 4, len(meta)) if box.kind == b"pitm"), None)
    if box is None:
        raise _unreadable("a whole HEIC or AVIF file")
    return int.from_bytes(
        meta[box.start + 4 : box.start + (8 if meta[box.start : box.start + 1] > b"\0" else 6)], "big"
    )


def properties_in(meta: bytes, item: int) -> list[Box]:
    """The properties of an item, in their order. Raises ImageHeaderError."""
    properties: list[Box] = []
    numbers: list[int] = []
    for held in (box for box in boxes_in(meta, 4, len(meta)) if box.kind == b"iprp"):
        for box in boxes_in(meta, held.start, held.end):
            if box.kind == b"ipco":
                properties = list(boxes_in(meta, box.start, box.end))
            elif box.kind == b"ipma":
                numbers += _properties_of(item, meta[box.start : box.end])
    return [properties[number - 1] for number in numbers if 0 < number <= len(properties)]


def _properties_of(item: int, associations: bytes) -> list[int]:
    """The numbers, counted from 1, of the properties that an `ipma` box gives to an item."""
    wide_items, wide_numbers = associations[:1] > b"\0", associations[3:4] > b"\0"
    place = 8
    for _ in range(min(int.from_bytes(associations[4:8], "big"), MOST_ITEMS)):
        id_end = place + (4 if wide_items else 2)
        if id_end >= len(associations):
            break
        step = 2 if wide_numbers else 1
        end = id_end + 1 + step * associations[id_end]
        if int.from_bytes(associations[place:id_end], "big") == item:
            mask = 0x7FFF if wide_numbers else 0x7F  # the other bit says whether it is essential
            return [int.from_bytes(associations[at : at + step], "big") & mask for at in range(id_end + 1, end, step)]
        place = end
    return []


def boxes_in(data: bytes, place: int, end: int) -> Iterator[Box]:
    """The boxes in a part of `data`. Raises ImageHeaderError."""
    return _boxes(lambda at: data[at : at + 16], place, end)


def _boxes(head_at: Callable[[int], bytes], place: int, end: int) -> Iterator[Box]:
    """The boxes from `place` to `end`, whose first 16 bytes `head_at` gives."""
    for _ in range(MOST_PARTS):
        head = head_at(place)
        length, start = int.from_bytes(head[:4], "big"), place + 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), place + 16
        until = end if length == 0 else place + length
        if len(head) < 8 or not start <= until <= end:
            return
        yield Box(head[4:8], start, until)
        place = until
        if place == end:
            return
    raise _too_many("boxes", MOST_PARTS)


def _read(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)


def _too_many(what: str, most: int) -> ImageHeaderError:
    return ImageHeaderError(f"has more than {most} {what}", got=f"> {most}", allowed=most)


def _unreadable(allowed: str) -> ImageHeaderError:
    return ImageHeaderError("has no readable image header", allowed=allowed)
