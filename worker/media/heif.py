"""HEIC pictures, as phones take them: often a grid of tiles, each an HEVC picture, which FFmpeg decodes one by one."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from jobs.image_headers import Box, boxes_in, primary_of, properties_in, read_meta
from model.arrays import Pixels

CODED = (b"hvc1", b"hev1")
MOST_TILES = 4096
BT709 = 1  # as matrix coefficients


class HeifError(ValueError):
    """The file cannot be decoded; the text says why."""


@dataclass
class _Heif:
    """What a HEIF says of its items, by their numbers."""

    path: Path
    meta: bytes
    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)  # how it is meant, start, length
    tiles: dict[int, list[int]] = field(default_factory=dict)
    inside: Box | None = None  # data of items in the description itself

    def properties(self, item: int) -> list[tuple[bytes, bytes]]:
        return [(box.kind, self.meta[box.start : box.end]) for box in properties_in(self.meta, item)]

    def data(self, item: int) -> bytes:
        parts = []
        with self.path.open("rb") as file:
            for method, start, length in self.extents.get(item, []):
                if method == 0:
                    file.seek(start)
                    parts.append(file.read(length))
                elif method == 1 and self.inside:
                    parts.append(self.meta[self.inside.start + start : self.inside.end][:length])
                else:
                    raise HeifError(f"data by construction method {method} is not read")
        return b"".join(parts)


def read_heic(path: Path, *, most_pixels: int) -> tuple[Pixels, bytes | None]:
    """The primary picture of a HEIC as RGB (H, W, 3), turned and mirrored as it says, and its colour profile.

    Raises HeifError, ImageHeaderError, struct.error, IndexError or av.FFmpegError for what is damaged or of a kind that
    is not read.
    """
    heif = _opened(path)
    properties = heif.properties(heif.primary)
    if heif.kinds.get(heif.primary) == b"grid":
        rgb = _grid(heif, most_pixels)
    else:
        rgb = _coded(heif, heif.primary, most_pixels)
    profile = None
    for kind, content in properties:
        if kind == b"irot" and content:
            rgb = np.rot90(rgb, content[0] & 3)
        elif kind == b"imir" and content:
            rgb = rgb[:, ::-1] if content[0] & 1 else rgb[::-1]
        elif kind == b"colr" and content[:4] in (b"prof", b"rICC"):
            profile = content[4:]
    return rgb, profile


def _grid(heif: _Heif, most_pixels: int) -> Pixels:
    data, tiles = heif.data(heif.primary), heif.tiles.get(heif.primary, [])
    rows, columns = data[2] + 1, data[3] + 1
    width, height = struct.unpack_from(">II" if data[1] & 1 else ">HH", data, 4)
    if rows * columns != len(tiles) or len(tiles) > MOST_TILES or not 0 < width * height <= most_pixels:
        raise HeifError(f"a grid of {rows} x {columns} with {len(tiles)} tiles for {width} x {height} pixels")
    rgb = np.full((height, width, 3), 255, np.uint8)
    for number, item in enumerate(tiles):
        tile = _coded(heif, item, most_pixels)
        top, left = number // columns * tile.shape[0], number % columns * tile.shape[1]
        place = rgb[top : top + tile.shape[0], left : left + tile.shape[1]]
        place[:] = tile[: place.shape[0], : place.shape[1]]
    return rgb


def _coded(heif: _Heif, item: int, most_pixels: int) -> Pixels:
    """An item that is an HEVC picture, as it is stored."""
    properties = dict(reversed(heif.properties(item)))
    if heif.kinds.get(item) not in CODED or b"hvcC" not in properties:
        kind = heif.kinds.get(item, b"").decode("latin-1")
        raise HeifError(f"its picture is coded as {kind!r}; only HEVC is read")
    codec: Any = av.CodecContext.create("hevc", "r")
    codec.extradata = properties[b"hvcC"]
    codec.thread_count = 1
    codec.options = {"max_pixels": str(most_pixels)}
    frames = [*codec.decode(av.Packet(heif.data(item))), *codec.decode(None)]
    if not frames:
        raise HeifError("its picture is missing")
    nclx, colours = properties.get(b"colr", b""), {}
    if nclx[:4] == b"nclx" and len(nclx) >= 11:
        colours["src_colorspace"] = "ITU709" if int.from_bytes(nclx[8:10], "big") == BT709 else "ITU601"
        colours["src_color_range"] = "JPEG" if nclx[10] & 0x80 else "MPEG"
    rgb: Pixels = frames[0].to_ndarray(format="rgb24", threads=1, **colours)
    return rgb


def _opened(path: Path) -> _Heif:
    with path.open("rb", buffering=0) as file:
        meta = read_meta(file)
    heif = _Heif(path, meta, primary=primary_of(meta))
    for box in boxes_in(meta, 4, len(meta)):
        content = meta[box.start : box.end]
        if box.kind == b"iinf":
            entries = boxes_in(meta, box.start + (6 if content[0] == 0 else 8), box.end)
            heif.kinds = dict(_entry(meta[entry.start : entry.end]) for entry in entries)
        elif box.kind == b"iloc":
            heif.extents = dict(_locations(content))
        elif box.kind == b"iref":
            wide = content[0] > 0
            for reference in boxes_in(meta, box.start + 4, box.end):
                if reference.kind == b"dimg":
                    numbers = meta[reference.start : reference.end]
                    start, layout = (4, "I") if wide else (2, "H")
                    (count,) = struct.unpack_from(">H", numbers, start)
                    whole = int.from_bytes(numbers[:start], "big")
                    heif.tiles[whole] = list(struct.unpack_from(f">{count}{layout}", numbers, start + 2))
        elif box.kind == b"idat":
            heif.inside = box
    return heif


def _entry(content: bytes) -> tuple[int, bytes]:
    """The number and the kind of an item."""
    if content[0] < 2:
        raise HeifError(f"items of version {content[0]} are not read")
    wide = content[0] > 2
    kind = 10 if wide else 8
    return int.from_bytes(content[4 : 8 if wide else 6], "big"), content[kind : kind + 4]


def _locations(content: bytes) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
    """Where each item's data is; numbers have as many bytes as the box says."""
    version = content[0]
    sizes = content[4] >> 4, content[4] & 15, content[5] >> 4, content[5] & 15 if version else 0
    offset_size, length_size, base_size, index_size = sizes
    place = 6

    def number(size: int) -> int:
        nonlocal place
        place += size
        if place > len(content):
            raise HeifError("the places of its pictures end early")
        return int.from_bytes(content[place - size : place], "big")

    for _ in range(number(2 if version < 2 else 4)):
        item = number(2 if version < 2 else 4)
        method = number(2) & 15 if version else 0
        number(2)  # which file: this one
        base = number(base_size)
        extents = []
        for _ in range(number(2)):
            number(index_size)
            start = base + number(offset_size)
            extents.append((method, start, number(length_size)))
        yield item, extents
