"""An API as its own process, its keys, and what a request does to it: memory, and how long others wait meanwhile."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from service.access.keys import KeyFile
from tests.service.conftest import portrait, quiet, server, shared_server, start, weights_dir, write_weights
from tests.support.processes import Service, until

__all__ = ["portrait", "quiet", "server", "shared_server", "start", "weights_dir"]

log = logging.getLogger(__name__)

MIB = 1 << 20
DIMENSION = 70


@dataclass
class Burden:
    """What was seen while something was done: MiB that the API took more, above what it has in all since it began, and
    seconds for `/healthz`."""

    mib: float = 0.0
    in_all_mib: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def check(self, *, mib: float) -> None:
        """A busy machine answers late without any fault of ours; on two idle cores it took 0.25 s at most."""
        longest = max(self.seconds)
        log.info("%.0f MiB (%.0f in all), /healthz took %.3f s at most", self.mib, self.in_all_mib, longest)
        assert self.mib < mib
        assert self.in_all_mib < 96
        assert longest < 2


class Api(Service):
    """A front-end with Redis and no worker, for several owners."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        keys = KeyFile(folder / "data" / "keys.json")
        self.keys = {owner: keys.make(owner)[0] for owner in ("alice", "bob", "carol")}
        self.weights = write_weights(folder / "weights", DIMENSION)

    def serve(self, **settings: str) -> None:
        self.start("redis")
        rates = {"PIRENDERER_RATE": "100000/minute", "PIRENDERER_WEIGHTS_DIR": str(self.weights)}
        self.start("api", environment={**rates, **settings})
        self.idle_mib = _peak_mib(self._api_process)

    def as_owner(self, owner: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.keys[owner]}"}
        return httpx.Client(base_url=self.client.base_url, headers=headers, timeout=60, trust_env=False)

    @contextmanager
    def watched(self) -> Iterator[Burden]:
        process = self._api_process
        burden, over = Burden(), threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=self.client.base_url, timeout=60, trust_env=False) as client:
                while not over.is_set():
                    began = time.monotonic()
                    client.get("/healthz").raise_for_status()
                    burden.seconds.append(time.monotonic() - began)
                    time.sleep(0.01)

        asking = threading.Thread(target=ask)
        (process / "clear_refs").write_text("5")  # the peak begins anew
        before = _peak_mib(process)
        asking.start()
        try:
            until(lambda: burden.seconds, "/healthz does not answer")
            yield burden
        finally:
            over.set()
            asking.join()
            peak = _peak_mib(process)
            burden.mib, burden.in_all_mib = peak - before, peak - self.idle_mib

    @property
    def _api_process(self) -> Path:
        return Path(f"/proc/{self.processes['api'].pid}")


def _peak_mib(process: Path) -> float:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")
