"""A matrix of numbers out of a MATLAB file, level 5 ("MAT-File Format", MathWorks, chapter 1).

No more than that is read, and every size is checked: the reader that libraries have crashes on damaged files.
"""

import math
import struct
import zlib

import numpy as np

from model.arrays import Doubles

HEADER = 128  # bytes: text, version and byte order
LARGEST = 1 << 22  # bytes of a matrix, once inflated
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
NUMERIC_CLASSES = range(6, 16)  # double, single and whole numbers
COMPLEX = 0x0800  # a flag of an array

Element = tuple[int, bytes]


def read_matrix(content: bytes, name: str) -> Doubles:
    """The real matrix NAME of a file's content, as float64.

    Raises ValueError: the content is no such file, is damaged, or has no such matrix.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if order is None or not content.startswith(b"MATLAB 5.0"):
        raise ValueError(f"a file that begins with {content[:10]!r}; allowed are MATLAB files of level 5 (-v6 and -v7)")
    names = []
    for kind, data in _elements(content[HEADER:], order):
        inner_kind, inner = _inflated(data, order) if kind == COMPRESSED else (kind, data)
        if inner_kind != MATRIX:
            continue
        flags, shape, title, *numbers = _elements(inner, order)
        names.append(title[1].decode("latin-1"))
        if names[-1] == name and numbers:
            return _matrix(flags, shape, numbers[0], order)
    raise ValueError(f"matrices named {names}; allowed is one named {name!r}")


def _elements(data: bytes, order: str) -> list[Element]:
    """Types and contents of the elements that lie one after the other in `data`."""
    elements, at = [], 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start = at + 8
        after = start + size if kind == COMPRESSED else start + size + -size % 8
        if kind >> 16:  # a small element: its size is in the upper half, its data where sizes else are
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if start + size > len(data):
            raise ValueError(f"an element of {size} bytes where {len(data) - start} are left: the file is cut off")
        elements.append((kind, data[start : start + size]))
        at = after
    return elements


def _inflated(data: bytes, order: str) -> Element:
    inflater = zlib.decompressobj()
    try:
        whole = inflater.decompress(data, LARGEST)
    except zlib.error as error:
        raise ValueError(f"compressed data that are damaged: {error}") from error
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError(f"a compressed matrix that is cut off or larger than {LARGEST} bytes")
    return next(iter(_elements(whole, order)), (0, b""))


def _matrix(flags: Element, shape: Element, numbers: Element, order: str) -> Doubles:
    flag = struct.unpack_from(f"{order}I", flags[1].ljust(4, b"\0"))[0]
    if flag & 0xFF not in NUMERIC_CLASSES or flag & COMPLEX or numbers[0] not in NUMBERS:
        raise ValueError(f"a matrix of flags {flag:#x} and type {numbers[0]}; allowed are real numbers")
    sides = np.frombuffer(shape[1][: len(shape[1]) // 4 * 4], f"{order}i4").tolist()
    kind = np.dtype(order + NUMBERS[numbers[0]])
    if len(numbers[1]) != math.prod(sides) * kind.itemsize:
        raise ValueError(f"a matrix of {sides} with {len(numbers[1])} bytes of numbers: the file is damaged")
    with np.errstate(invalid="ignore"):  # whether they are finite is for the caller to judge
        return np.frombuffer(numbers[1], kind).reshape(sides, order="F").astype(np.float64)
