"""WAV files whose header was written before their length was known, as all are that come through a pipe."""

import os
import struct
from typing import BinaryIO

UNKNOWN_BYTES = 1 << 30  # a length from here on is none: some write 0xFFFFFFFF, some 0x7FFFF000, some two billion
MOST_CHUNKS = 100


class BrokenOffError(Exception):
    """A file ends before the length that it tells."""


def mend(file: BinaryIO) -> None:
    """Write the true lengths into a WAV file that tells none; leave any other file as it is. Raises BrokenOffError."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return
    at = len(head)
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8:
            return
        name, told = struct.unpack("<4sI", chunk)
        at += 8
        if name == b"data":
            _mend_data(file, at, told, size)
            return
        at += told + told % 2


def _mend_data(file: BinaryIO, start: int, told: int, size: int) -> None:
    if 0 < told < UNKNOWN_BYTES:
        if told > size - start:
            raise BrokenOffError(f"{size - start} of {told} bytes came")
        return
    for at, length in ((4, size - 8), (start - 4, size - start)):
        file.seek(at)
        file.write(struct.pack("<I", length))
