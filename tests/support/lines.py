"""What stands between a client and a server. A line can be cut, be held, or garble what goes over it."""

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from urllib.parse import urlsplit


class Relay(ABC):
    """Listens at `port`; `serve` says what is done with each connection, in a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    @abstractmethod
    def serve(self, client: socket.socket) -> None:
        """Do it."""

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()


class Line(Relay):
    """Passes on what goes between its clients and the server at `url`.

    `answers` is given what the server says, piece by piece, and returns what is passed on. Where it raises OSError the
    connection is cut.
    """

    def __init__(self, url: str, answers: Callable[[bytes], bytes] = bytes) -> None:
        self._server = ("127.0.0.1", urlsplit(url).port or 80)
        self._answers = answers
        self._flows = threading.Event()
        self._flows.set()
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._flows.set()

    def hold(self) -> None:
        """Pass on nothing more, and keep the connections."""
        self._flows.clear()

    def serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._server) as server:
            threading.Thread(target=self._pass, args=(server, client, self._answers), daemon=True).start()
            self._pass(client, server, bytes)

    def _pass(self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
        """Until one of both ends, which ends both."""
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                target.sendall(change(data))
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
