"""The front-end's server: it begins on a socket of its own or one handed over, and leaves without failing a request."""

import contextlib
import os
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from service.context import Context
from service.running.connections import BoundedProtocol, server_options
from service.settings import Settings


class FrontEnd(uvicorn.Server):
    """Serves the application.

    Told to stop, it takes no more connections, ends streams of events and waits, which clients take up elsewhere,
    and finishes all other requests. A connection that idles may ask once more, since what it asks may be on its way.
    Says when it is ready and when it stops to whom the environment names in NOTIFY_SOCKET (see sd_notify(3)).
    """

    def __init__(self, app: FastAPI, settings: Settings, **options: Any) -> None:
        self._context: Context = app.state.context
        self._connections = self._context.siblings.tally("connections")
        super().__init__(uvicorn.Config(app, **{**server_options(settings, self._connections), **options}))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        notify(b"READY=1")

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, count how many connections there still are."""
        self._connections.here = len(self.server_state.connections)
        if counter % 10 == 0:
            self._context.siblings.forget_dead()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Leave."""
        notify(b"STOPPING=1")
        protocol = self.config.http_protocol_class
        assert issubclass(protocol, BoundedProtocol)  # noqa: S101 - as `server_options` says
        protocol.leaving = True
        self._context.events.stop()
        await super().shutdown(sockets)


def notify(state: bytes) -> None:
    """Tell who started us, where they ask for it, as sd_notify(3) does."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        # `serve` listens until this one is ready; whoever has gone needs not be told
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
            notice.connect("\0" + address[1:] if address.startswith("@") else address)
            notice.sendall(state)
