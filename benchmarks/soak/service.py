"""The service that is watched: `pirenderer serve` as people start it, in a folder of its own, with two keys."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import redis

from service.running.embedded import free_port

CLI = [sys.executable, "-m", "service.cli"]
READY_S, STOP_S = 120.0, 60.0
LIMITED_RATE, LIMITED_QUOTA = "30/minute", "6/minute"


@dataclass(frozen=True)
class Watched:
    """A service that runs. `key` may do all; `limited` has a rate and a quota that are soon used up."""

    url: str
    folder: Path
    process: psutil.Process
    key: str
    limited: str

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What all of its processes said."""
        return self.folder / "log"

    def redis(self) -> redis.Redis:
        """A connection to its Redis."""
        return redis.Redis(unix_socket_path=str(self.data / "redis/redis.sock"), decode_responses=True)

    def family(self) -> list[psutil.Process]:
        """All of its processes."""
        return [self.process, *self.process.children(recursive=True)]

    def spent_s(self) -> float:
        """Seconds of processors that its processes have used, those that have ended and were waited for too."""
        spent = 0.0
        for process in self.family():
            try:
                spent += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
        return spent


@contextmanager
def watched(folder: Path, retention_s: int) -> Iterator[Watched]:
    """Start it, and stop it at the end."""
    (folder / "tmp").mkdir(parents=True)
    port = free_port()
    environment = {
        **os.environ,
        "PIRENDERER_RETENTION_S": str(retention_s),
        "PIRENDERER_CANCELED_RETENTION_S": str(retention_s // 3),
        "PIRENDERER_WEBHOOK_PRIVATE": "true",
        "PIRENDERER_WEBHOOK_TIMEOUT_S": "2",
        "PIRENDERER_WEBHOOK_BACKOFF": "1,3",
        "PIRENDERER_FETCH_PRIVATE": "true",
        "PIRENDERER_HEADER_TIMEOUT_S": "3",
        "PIRENDERER_RATE": "1000000/minute",
        "PIRENDERER_DATA_DIR": str(folder / "data"),
        "PIRENDERER_REDIS_URL": "",
        "REDIS_URL": "",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder / "tmp"),
    }
    key, limited = (
        _make_key(environment, "soak"),
        _make_key(environment, "limited", "--rate", LIMITED_RATE, "--quota", LIMITED_QUOTA),
    )
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [*CLI, "serve", "--workers", "1", "--port", str(port)], env=environment, stdout=log, stderr=log
        )
        try:
            found = Watched(f"http://127.0.0.1:{port}", folder, psutil.Process(process.pid), key, limited)
            _wait_until_ready(found, process)
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_S)


def _make_key(environment: dict[str, str], owner: str, *options: str) -> str:
    made = subprocess.run(
        [*CLI, "keys", "make", owner, *options, "--json"], env=environment, capture_output=True, check=True
    )
    return str(json.loads(made.stdout)["key"])


def _wait_until_ready(service: Watched, process: subprocess.Popen[bytes]) -> None:
    """Raises TimeoutError, RuntimeError: it ended."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            if httpx.get(f"{service.url}/readyz", trust_env=False).json()["workers"]:
                return
        except (httpx.TransportError, KeyError):
            pass
        if process.poll() is not None:
            raise RuntimeError(f"the service ended: {service.log.read_text(encoding='utf-8')[-2000:]}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the service was not ready within {READY_S:g} s")
        time.sleep(0.2)
