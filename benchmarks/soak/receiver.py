"""A server of ours: it takes webhooks in several ways, and has inputs that are named by address."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

HANGS_S = 5.0
ANSWERS = {"taken": b"204 No Content", "failing": b"500 Internal Server Error", "gone": b"410 Gone"}


@dataclass
class Receiver:
    """One that runs. A webhook's way to take it is its path: one of ANSWERS, or `hanging`, which gets none."""

    url: str = ""
    came: Counter[str] = field(default_factory=Counter)


@asynccontextmanager
async def receiving(files: dict[str, bytes]) -> AsyncIterator[Receiver]:
    """Files are sent by their names, as JPEG."""
    receiver = Receiver()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            name = head.split(b" ", 2)[1].decode().strip("/")
            receiver.came[name] += 1
            if name in files:
                body, status = files[name], b"200 OK\r\nContent-Type: image/jpeg"
            else:
                body, status = b"", ANSWERS.get(name, b"404 Not Found")
            if name == "hanging":
                await asyncio.sleep(HANGS_S)
            else:
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)))
                writer.write(body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
