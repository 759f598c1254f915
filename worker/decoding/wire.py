"""Messages between a worker and its decoders: JSON objects, while arrays lie in memory that both share.

No pickle: what a decoder says, of which a hostile file may have taken hold, is data and nothing else.
"""

import fcntl
import json
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

LONGEST = 1 << 16  # bytes of JSON

_LENGTH = struct.Struct("!I")

Header = dict[str, Any]
Fill = Callable[[memoryview], None]  # receives as many bytes as there is room for; raises EOFError


def send(channel: socket.socket, header: Header, files: Sequence[int] = ()) -> None:
    """Send a message, which fits into the channel's buffer, and share open files with the receiver."""
    text = json.dumps(header).encode()
    socket.send_fds(channel, [_LENGTH.pack(len(text)) + text], files)


def receive(fill: Fill) -> Header:
    """The next message. Raises EOFError, and ValueError for what is none."""
    length = bytearray(_LENGTH.size)
    fill(memoryview(length))
    return _rest(fill, bytes(length))


def receive_files(channel: socket.socket, most: int) -> tuple[Header, list[int]]:
    """The next message and the files that came with it. Raises EOFError."""
    length, files, _, _ = socket.recv_fds(channel, _LENGTH.size, most)
    if not length:
        raise EOFError
    return _rest(fill_from(channel), length), files


def fill_from(channel: socket.socket) -> Fill:
    """Receives from a socket, as long as it takes."""

    def fill(view: memoryview) -> None:
        while view.nbytes:
            count = channel.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]

    return fill


def shared_memory(size: int) -> int:
    """An open file that several processes can map; it keeps its size whatever one of them does."""
    file = os.memfd_create("decoding", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(file, size)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return file


def _rest(fill: Fill, packed: bytes) -> Header:
    (length,) = _LENGTH.unpack(packed)
    if length > LONGEST:
        raise ValueError(f"a message of {length} bytes; at most {LONGEST} are allowed")
    text = bytearray(length)
    fill(memoryview(text))
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError(f"{header!r:.80} is no message")  # noqa: TRY004 - like any other that is none
    return header
