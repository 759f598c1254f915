"""Animated WebP out, of a video's fragments: each frame's change is a picture by itself (RFC 9649, 2.7).

libwebp's own encoder of animations would hold all of it until its end.
"""

import io
import struct
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from worker.media.animations import Change, changes, rgb, ticks
from worker.media.marking import XMP
from worker.media.stream import Encoded, Fragments

QUALITY, METHOD = 80, 2  # a method of 4 takes twice the time for 3 % of the bytes
ANIMATED, WITH_XMP = 0x02, 0x04  # flags of the file
OPAQUE = 0x02  # flag of a frame: it replaces what was there
FOR_EVER = 0
MILLISECONDS = 1000


def write_webp(video: Fragments, output: Path, told: Callable[[int], None]) -> Encoded:
    """Write the pictures of a video as a WebP that is shown again and again; `told` how many are written."""
    form = video.form
    with output.open("wb") as file:
        file.write(b"RIFF\0\0\0\0WEBP")
        file.write(_chunk(b"VP8X", bytes([ANIMATED | WITH_XMP, 0, 0, 0]) + _uint24(form.width - 1, form.height - 1)))
        file.write(_chunk(b"ANIM", bytes(4) + struct.pack("<H", FOR_EVER)))
        for number, change in enumerate(changes(map(rgb, video.pictures()))):
            shown = [ticks(frames, form.fps, MILLISECONDS) for frames in (number, number + 1)]
            file.write(_chunk(b"ANMF", _frame(change, shown[1] - shown[0])))
            told(number + 1)
        file.write(_chunk(b"XMP ", XMP))
        size = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
    return Encoded(video.frames, form.fps)


def _frame(change: Change, milliseconds: int) -> bytes:
    rows, columns = change.rows, change.columns
    encoded = io.BytesIO()
    Image.fromarray(change.picture[rows, columns]).save(encoded, "WEBP", quality=QUALITY, method=METHOD)
    size = columns.stop - columns.start - 1, rows.stop - rows.start - 1
    head = _uint24(columns.start // 2, rows.start // 2, *size, milliseconds) + bytes([OPAQUE])
    return head + encoded.getvalue()[12:]  # the picture's chunk alone


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _uint24(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(3, "little") for number in numbers)
