"""Images whose headers cost what reads them far more than their pictures would: refused after a short look."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from jobs.image_headers import ImageHeaderError, check_image, image_size
from jobs.media_types import type_of
from jobs.problems import ProblemError, ProblemType

MIB = 1 << 20


def jpeg(**options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(between: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(65 * 48)))
    return b"\x89PNG\r\n\x1a\n" + header + between + rows + chunk(b"IEND")


def in_segments(segment: bytes) -> Callable[[int], bytes]:
    return lambda size: jpeg()[:2] + segment * (size // len(segment)) + jpeg()[2:]


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def in_boxes(box: bytes) -> Callable[[int], bytes]:
    return lambda size: HEIC + box * (size // len(box))


SCAN = b"\xff\xda\0\x08\1\1\0\1\1\0"  # a scan of a progressive JPEG, and nothing in it
BOMBS = {
    "empty segments": in_segments(b"\xff\xef\0\2"),
    "empty comments": in_segments(b"\xff\xfe\0\2"),
    "segments of many pictures": in_segments(b"\xff\xe2\0\x08MPF\0\0\0"),
    "filling": in_segments(b"\xff"),
    "filling that is none": in_segments(b"\0"),
    "empty chunks": lambda size: png(chunk(b"aaAa") * (size // 12)),
    "empty texts": lambda size: png(chunk(b"tEXt", b"k\0") * (size // 14)),
    "scans": lambda size: jpeg(progressive=True)[:-2] + SCAN * (size // len(SCAN)),
    "scans behind a thumbnail's": lambda size: (
        jpeg(progressive=True, exif=b"Exif\0\0" + jpeg())[:-2] + SCAN * (size // len(SCAN))
    ),
    "scans between signs to start anew": lambda size: jpeg()[:-2] + (b"\xff\xd0" + SCAN) * (size // 12),
    "empty boxes": in_boxes(b"\0\0\0\x08free"),
    "boxes of no length": in_boxes(b"\0\0\0\0\0\0\0\1"),
    "a long description": lambda size: HEIC + struct.pack(">I", size) + b"meta" + bytes(size - 8),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_costly_header_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(BOMBS[name](19 * MIB))
    with pytest.raises(ProblemError, match="portrait has ") as caught:
        check_image("portrait", path, type_of(path), max_pixels=50_000_000)
    assert caught.value.problem.type == ProblemType.UNREADABLE_MEDIA.uri


MEASURE = """
import resource, sys, time
from pathlib import Path
from jobs.image_headers import ImageHeaderError, image_size
from jobs.media_types import type_of

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

for path in sorted(Path(sys.argv[1]).iterdir()):
    before, begun = peak(), time.thread_time()
    try:
        image_size(path, type_of(path))
    except ImageHeaderError:
        pass
    print(path.name, peak() - before, time.thread_time() - begun, sep="\\t")
"""


@pytest.mark.slow
def test_no_file_takes_a_check_long_or_much_memory(tmp_path: Path) -> None:
    """Those that are refused, and those that are taken after their scan has been gone through."""
    whole = jpeg()[:-2]
    endless = {"escaped": b"\xff\0", "filled": b"\xff", "begun anew": b"\xff\xd0", "plain": b"\x55"}
    files = {name: make(20 * MIB) for name, make in BOMBS.items()}
    files |= {name: whole + piece * (20 * MIB // len(piece)) for name, piece in endless.items()}
    files["far apart"] = whole + (bytes(200_000) + SCAN) * 100
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == len(files)
    for name, kilobytes, seconds in lines:
        assert int(kilobytes) < 8 << 10, name
        assert float(seconds) < 2, name


def test_as_many_scans_as_encoders_write_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    ordinary = jpeg(progressive=True)
    path.write_bytes(ordinary)
    scans = ordinary.count(b"\xff\xda")
    assert scans > 3
    assert image_size(path, type_of(path)) == (64, 48)
    path.write_bytes(ordinary[:-2] + SCAN * (100 - scans) + ordinary[-2:])
    assert image_size(path, type_of(path)) == (64, 48)
    path.write_bytes(ordinary[:-2] + SCAN * (101 - scans) + ordinary[-2:])
    with pytest.raises(ImageHeaderError, match="has more than 100 scans"):
        image_size(path, type_of(path))
