"""A real service of its own, and what its processes cost."""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]

from service.commands.serve import serving
from service.running.embedded import find_redis_server, free_port
from service.settings import Settings

WORKER, FRONT_END, REDIS = ROLES = ("worker", "front-end", "Redis")
READY_S = 120.0
SETTLE_S = 5.0  # in which workers that have said that they are ready come to rest


@dataclass
class Running:
    """A service that runs: where, its data folder, and the processes that it started, by what they do."""

    url: str
    folder: Path
    started: dict[str, list[psutil.Process]]

    def processes(self, *roles: str) -> list[psutil.Process]:
        """Those that live now, with all that they started."""
        found = []
        for process in (process for role in roles for process in self.started[role]):
            with suppress(psutil.NoSuchProcess):
                found += [process, *process.children(recursive=True)]
        return found

    def memory_mib(self, role: str) -> float:
        """What its processes hold that no other process does."""
        held = 0
        for process in self.processes(role):
            with suppress(psutil.NoSuchProcess):
                held += process.memory_full_info().uss
        return held / 2**20


@dataclass
class Costs:
    """Seconds of processors, by process, that were spent since this was made."""

    running: Running
    before: dict[psutil.Process, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.before = _spent(self.running.processes(*ROLES))

    def a_second(self, role: str) -> float:
        """Of all processes that do this."""
        spent = _spent(self.running.processes(role))
        seconds = sum(now - self.before.get(process, 0.0) for process, now in spent.items())
        return seconds / (time.monotonic() - self.began)

    def busiest(self) -> psutil.Process:
        """The worker's process that computed most."""
        spent = _spent(self.running.processes(WORKER))
        return max(spent, key=lambda process: spent[process] - self.before.get(process, 0.0))


def _spent(processes: Sequence[psutil.Process]) -> dict[psutil.Process, float]:
    found = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process] = times.user + times.system
    return found


@contextmanager
def service(workers: int) -> Iterator[Running]:
    """A service whose workers are ready; what dies of it is started again."""
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("wb") as log:
        settings = Settings(data_dir=Path(name), port=free_port())
        with serving(settings, workers=workers, own_redis=True, output=log) as (supervisor, url):
            watch = threading.Thread(target=supervisor.watch)
            watch.start()
            try:
                _wait_for(workers, url)
                time.sleep(SETTLE_S)
                yield Running(url, settings.data_dir, _started(settings.port))
            finally:
                supervisor.request_stop()
                watch.join()


def _wait_for(workers: int, url: str) -> None:
    """Raises TimeoutError: they do not come."""
    deadline = time.monotonic() + READY_S
    while httpx.get(f"{url}/readyz", trust_env=False).json()["workers"] < workers:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{workers} workers were not ready within {READY_S:g} s")
        time.sleep(0.2)


def _started(port: int) -> dict[str, list[psutil.Process]]:
    started: dict[str, list[psutil.Process]] = {role: [] for role in ROLES}
    server = find_redis_server()
    for process in psutil.Process().children():
        family = [process, *process.children(recursive=True)]
        listening = {line.laddr.port for each in family for line in each.net_connections("tcp") if not line.raddr}
        role = FRONT_END if port in listening else WORKER
        if server is not None and Path(process.exe()).samefile(server):
            role = REDIS
        started[role].append(process)
    return started
