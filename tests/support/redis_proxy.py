"""Stands between a worker and Redis, and does something at the very moment when certain bytes go by."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.lines import Relay


@dataclass
class Fault:
    """What is to happen, `times` times, when a worker sends bytes with all of `marks`: before Redis gets them, or once
    Redis has answered and the worker has not got the answer. `act` is told the bytes."""

    act: Callable[[bytes], object]
    marks: tuple[bytes, ...]
    after: bool
    times: int
    happened: int = 0

    def due(self, data: bytes) -> bool:
        return self.happened < self.times and all(mark in data for mark in self.marks)


class RedisProxy(Relay):
    """Passes on to Redis."""

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self._faults: list[Fault] = []
        super().__init__()

    def at(self, act: Callable[[bytes], object], *marks: bytes, after: bool = False, times: int = 1) -> Fault:
        fault = Fault(act, marks, after, times)
        self._faults.append(fault)
        return fault

    def serve(self, client: socket.socket) -> None:
        """Until either side ends; faults of a connection happen in its own thread, so that others go on."""
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._redis_port)) as server:
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()
            while data := client.recv(1 << 20):
                fault = next((each for each in self._faults if each.due(data)), None)
                if fault is None:
                    server.sendall(data)
                    continue
                fault.happened += 1
                if fault.after:
                    with socket.create_connection(("127.0.0.1", self._redis_port)) as other:
                        other.sendall(data)  # over a connection whose answer goes nowhere
                        other.recv(1 << 16)
                fault.act(data)
                return

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
