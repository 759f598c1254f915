"""HEIC pictures, put together box by box."""

import struct
import tempfile
from pathlib import Path

import av
import numpy as np


def heic(
    picture: np.ndarray,
    *,
    brand: bytes = b"heic",
    brands: tuple[bytes, ...] = (b"mif1", b"heic"),
    turns: int = 0,
    mirrored: bool = False,
    exif: bytes | None = None,
    tiles: tuple[int, int] | None = None,
) -> bytes:
    """A picture (H, W, 3) uint8 with even sides as a HEIC that says it is to be seen turned and mirrored.

    turns: quarters counterclockwise. mirrored: then left and right change places. exif: what follows `Exif\\0\\0`.
    tiles: rows and columns of a grid, as phones write it; the last ones reach beyond the picture where it has to be.
    """
    height, width = picture.shape[:2]
    seen = [_box(b"irot", bytes([turns]))] if turns else []
    seen += [_box(b"imir", b"\1")] if mirrored else []
    if tiles is None:
        configuration, sample = _hevc(picture)
        properties = [configuration, _extent(width, height), *seen]
        items, of_items = [(b"hvc1", sample)], [range(1, len(properties) + 1)]
    else:
        rows, columns = tiles
        high, wide = (-(-side // (2 * count)) * 2 for side, count in ((height, rows), (width, columns)))
        padded = np.pad(picture, ((0, rows * high - height), (0, columns * wide - width), (0, 0)), mode="edge")
        coded = [
            _hevc(np.ascontiguousarray(padded[row * high :, column * wide :][:high, :wide]))
            for row in range(rows)
            for column in range(columns)
        ]
        properties = [coded[0][0], _extent(wide, high), _extent(width, height), *seen]
        whole = bytes([0, 0, rows - 1, columns - 1]) + struct.pack(">HH", width, height)
        items = [(b"grid", whole), *((b"hvc1", sample) for _, sample in coded)]
        of_items = [range(3, len(properties) + 1), *[range(1, 3)] * len(coded)]
    parts = range(2, len(items) + 1)
    references = [_box(b"dimg", struct.pack(f">HH{len(parts)}H", 1, len(parts), *parts))] if parts else []
    if exif:
        items.append((b"Exif", struct.pack(">I", 6) + b"Exif\0\0" + exif))
        references.append(_box(b"cdsc", struct.pack(">HHH", len(items), 1, 1)))
    associations = b"".join(
        struct.pack(">HB", item, len(numbers)) + bytes(numbers) for item, numbers in enumerate(of_items, 1)
    )
    description = [
        _full(b"hdlr", b"\0\0\0\0pict" + bytes(13)),
        _full(b"pitm", struct.pack(">H", 1)),
        _full(b"iinf", struct.pack(">H", len(items)), *(_entry(n, kind) for n, (kind, _) in enumerate(items, 1))),
        _full(b"iref", *references),
        _box(b"iprp", _box(b"ipco", *properties), _full(b"ipma", struct.pack(">I", len(of_items)), associations)),
    ]
    start = _box(b"ftyp", brand, bytes(4), *brands)
    data = [content for _, content in items]
    length = len(start + _full(b"meta", *description, _places(0, data)))
    return start + _full(b"meta", *description, _places(length + 8, data)) + _box(b"mdat", *data)


def _extent(width: int, height: int) -> bytes:
    return _full(b"ispe", struct.pack(">II", width, height))


def _hevc(picture: np.ndarray) -> tuple[bytes, bytes]:
    """The box of the decoder's configuration, and the coded picture, as an MP4 of one frame has them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(
                "libx265", rate=25, options={"crf": "8", "x265-params": "log-level=none:bframes=0"}
            )
            stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
            stream.codec_context.codec_tag = "hvc1"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        data = path.read_bytes()
    return tuple(data[at : at + int.from_bytes(data[at : at + 4], "big")][skipped:] for at, skipped in (
        (data.index(b"hvcC") - 4, 0), (data.index(b"mdat") - 4, 8)
    ))  # type: ignore[return-value]  # fmt: skip


def _places(start: int, data: list[bytes]) -> bytes:
    """Where the items' data is, one behind the other from `start`."""
    entries = b""
    for number, content in enumerate(data, 1):
        entries += struct.pack(">HHHII", number, 0, 1, start, len(content))
        start += len(content)
    return _full(b"iloc", b"\x44\0", struct.pack(">H", len(data)), entries)


def _entry(number: int, kind: bytes) -> bytes:
    return _full(b"infe", struct.pack(">HH", number, 0), kind, b"\0", version=2)


def _box(kind: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I", 8 + len(inside)) + kind + inside


def _full(kind: bytes, *content: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24), *content)
