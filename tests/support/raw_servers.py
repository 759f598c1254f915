"""Servers that say what a test has them say, byte by byte."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import PATIENCE_S

Script = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]  # what is done with a request


@dataclass
class RawServer:
    """One that runs, and the requests that came."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def asked(self, count: int = 1) -> None:
        """Wait for so many requests. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.requests) < count:  # noqa: ASYNC110 - there is no hurry
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(
    script: Script, tls: ssl.SSLContext | None, *, host: str = "127.0.0.1", rash: bool = False
) -> AsyncIterator[RawServer]:
    """Runs until each client has closed its connection, which is to be soon. `rash`: it does not wait for requests."""
    server = RawServer()
    tasks: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                server.requests.append(b"" if rash else await reader.readuntil(b"\r\n\r\n"))
                await script(server.requests[-1], writer)
                await reader.read()
            finally:
                writer.close()
                await writer.wait_closed()

    listener = await asyncio.start_server(take, host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*tasks)
            await listener.wait_closed()


def says(*parts: bytes, then: str = "wait") -> Script:
    """Sends these; `then`: "wait" for the client to close, "close", or "reset"."""

    async def script(_: bytes, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if then == "close":
            writer.close()
        elif then == "reset":
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            writer.transport.abort()

    return script


def repeats(start: bytes, part: bytes, pause_s: float = 0) -> Script:
    """Sends the same over and over, for as long as somebody takes it."""

    async def script(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return script


def redirects(*locations: bytes, status: int = 302) -> Script:
    """Sends the client on; `%d` in a location is the server's own port."""

    async def script(_: bytes, writer: asyncio.StreamWriter) -> None:
        port = str(writer.get_extra_info("sockname")[1]).encode()
        lines = b"".join(b"Location: %s\r\n" % location.replace(b"%d", port) for location in locations)
        writer.write(b"HTTP/1.1 %d Elsewhere\r\nContent-Length: 0\r\n%s\r\n" % (status, lines))

    return script


def open_sockets() -> list[str]:
    """Of this process."""
    links = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the folder's own
            links.append(str(each.readlink()))
    return sorted(link for link in links if link.startswith("socket:"))
