"""Messages between a worker and its decoders: a JSON object, and behind it the bytes of an array if it has one.

No pickle: what a decoder says, of which a hostile file may have taken hold, is data and nothing else.
"""

import json
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_HEADER = 1 << 16  # bytes of JSON

_LENGTHS = struct.Struct("!IQ")  # of the JSON and of the array

Header = dict[str, Any]
Fill = Callable[[memoryview], None]  # receives as many bytes as there is room for; raises EOFError


def send(channel: socket.socket, header: Header, array: NDArray[Any] | None = None) -> None:
    """Send a message; an `array` must be contiguous, and its shape is told in the header."""
    data = memoryview(b"") if array is None else as_bytes(array)
    if array is not None:
        header = {**header, "shape": array.shape}
    channel.sendall(_packed(header, data.nbytes))
    channel.sendall(data)


def send_files(channel: socket.socket, header: Header, files: Sequence[int]) -> None:
    """Send a short message and share open files with the receiver."""
    socket.send_fds(channel, [_packed(header, 0)], files)


def receive_files(channel: socket.socket, most: int) -> tuple[Header, list[int]]:
    """The next message, which has no array, and the files that came with it. Raises EOFError."""
    lengths, files, _, _ = socket.recv_fds(channel, _LENGTHS.size, most)
    if not lengths:
        raise EOFError
    text = bytearray(_LENGTHS.unpack(lengths)[0])
    fill_from(channel)(memoryview(text))
    return json.loads(text), files


def receive(fill: Fill) -> tuple[Header, int]:
    """The next message and how many bytes of an array follow. Raises EOFError, and ValueError for what is none."""
    lengths = bytearray(_LENGTHS.size)
    fill(memoryview(lengths))
    length, array = _LENGTHS.unpack(lengths)
    if length > LONGEST_HEADER:
        raise ValueError(f"a message of {length} bytes; at most {LONGEST_HEADER} are allowed")
    text = bytearray(length)
    fill(memoryview(text))
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError(f"{header!r:.80} is no message")  # noqa: TRY004 - like any other that is none
    return header, array


def fill_from(channel: socket.socket) -> Fill:
    """Receives from a socket, as long as it takes."""

    def fill(view: memoryview) -> None:
        while view.nbytes:
            count = channel.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]

    return fill


def as_bytes(array: NDArray[Any]) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _packed(header: Header, array: int) -> bytes:
    text = json.dumps(header).encode()
    return _LENGTHS.pack(len(text), array) + text
