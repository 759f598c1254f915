"""WebSockets to the front-end: bounds for connections that stay open and are written on both ways.

Uvicorn bounds a message, and asks by pings whether the client is there. Here is what it leaves open: how much of what
came is parsed before it is looked at, how many frames come, and how long a client may take nothing. And a message is
sent when the one before it was taken, so that who sends may choose what is newest then.
"""

import asyncio
import logging
import socket
import sys
from asyncio.transports import BaseTransport
from typing import Any, cast

import structlog
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

log = structlog.get_logger(__name__)
QUIET = logging.getLogger("uvicorn.error.websockets")
QUIET.setLevel(logging.WARNING)  # our log has a line of each

MAX_MESSAGE_BYTES = 1 << 20  # of a larger one no more is read: code 1009
MAX_FRAGMENTS = 100  # of a message
MAX_FRAMES = 1000  # in a second: pings, fragments and empty messages too
SLICE_BYTES = 4096  # parsed at a time; a frame may be as short as six bytes
SILENT_S = 10.0  # between pings, for the answer to each, and for a client to take what lies there
CLOSE_S = 3.0  # for a client to close, too
NOTSENT_LOWAT = 25  # TCP_NOTSENT_LOWAT of Linux, for which Python 3.11 has no name
UNSENT_BYTES = 16 * 1024  # that the kernel takes beyond what is on its way; by itself it takes seconds of pictures


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket with bounds."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.logger = QUIET
        self.conn.logger, self.conn.debug = QUIET, False  # it would tell all headers, keys among them
        self.close_timeout = CLOSE_S
        self._held = b""  # what came and is not parsed
        self._second, self._frames = 0.0, 0  # when the one began whose frames are counted
        self._taking: asyncio.TimerHandle | None = None  # until when the client has to have taken
        self._leaving = False

    def connection_made(self, transport: BaseTransport) -> None:
        """What is to be sent waits here no longer than it must."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)
        own = cast("socket.socket", transport.get_extra_info("socket"))
        if sys.platform == "linux" and own.family in (socket.AF_INET, socket.AF_INET6):
            own.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, UNSENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._taken()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})  # unless another was before it
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, as far as messages are taken."""
        self._held += data
        self._parse()
        if not self.handshake_initiated:  # it came as a whole, and is none
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_events(self) -> None:
        """Handle frames, unless they come too fast."""
        now = self.loop.time()
        if now - self._second >= 1:
            self._second, self._frames = now, 0
        self._frames += len(self.conn.events)
        if self._frames > MAX_FRAMES:
            self._fail(f"more than {MAX_FRAMES} frames in a second")
        else:
            super().handle_events()

    def handle_cont(self, event: Frame) -> None:
        """Take a further fragment of a message."""
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        else:
            self._fail(f"more than {MAX_FRAGMENTS} fragments of a message")

    def handle_ping(self) -> None:
        """Answer, where the client takes answers."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def keepalive_timeout(self) -> None:
        """The client does not answer, so it takes nothing either."""
        self._cut()

    def pause_writing(self) -> None:
        """The client is to take what waits for it."""
        super().pause_writing()
        self._taking = self.loop.call_later(SILENT_S, self._cut)

    def resume_writing(self) -> None:
        """The client has taken it."""
        self._taken()
        super().resume_writing()

    def shutdown(self) -> None:
        """The server stops: the client is told to come back, to another. One that is not let in yet is told then."""
        self._leaving = True
        if self.handshake_complete and not self.close_sent and not self.transport.is_closing():
            self.stop_keepalive()
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1001})
            self.conn.send_close(1001)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.close_timer = self.loop.call_later(CLOSE_S, self.transport.close)
            self._read_on()

    async def send(self, message: ASGISendEvent) -> None:
        """Send, and return when the client has taken it. Raises ClientDisconnected."""
        if self.close_sent:
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.accept" and self._leaving:
            self.shutdown()
        elif message["type"] == "websocket.send":
            await self.writable.wait()
        elif message["type"] == "websocket.close":
            self._read_on()
        elif message["type"] == "websocket.http.response.body":
            self.handshake_complete = self.close_sent  # it was refused; uvicorn would log that it was forgotten

    async def receive(self) -> ASGIReceiveEvent:
        """The next message."""
        message = await super().receive()
        self._parse()
        return message

    def _parse(self) -> None:
        while self._held and not self.read_paused and not self.transport.is_closing():
            piece, self._held = self._held[:SLICE_BYTES], self._held[SLICE_BYTES:]
            super().data_received(piece)

    def _read_on(self) -> None:
        """Until the client closes; what else it says is left out."""
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._parse()

    def _fail(self, reason: str) -> None:
        """Parse no more; the client learns why, unless it was told already that this is the end."""
        self.conn.fail(1008, reason)
        if not self.close_sent:
            self.handle_parser_exception()

    def _taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _cut(self) -> None:
        log.info("a WebSocket's client is gone", client=self.client and self.client[0])
        self.transport.abort()
