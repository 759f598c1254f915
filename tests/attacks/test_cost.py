"""What any single upload may cost: the API 64 MiB, a worker with all its processes 1 GiB, and other clients 250 ms.

PIRENDERER_FUZZ_EXAMPLES says how many uploads of each group are made. Without it they are few, and the same ones each
time.
"""

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.bombs import MOTIONS, PHOTOS, SOUNDS, VIDEOS
from tests.support.inputs import pictures
from tests.support.processes import PLAIN, SWAY, TURN, Service, need_weights, until

pytestmark = [pytest.mark.slow, pytest.mark.alone]

MIB = 1 << 20
API_MIB, WORKER_MIB, STALL_S = 64, 1024, 0.25
TRIES = 3  # a machine that is busy with something else stalls as well, but not each time
GOOD = pictures()[0]
WANTED = int(os.environ.get("PIRENDERER_FUZZ_EXAMPLES", "0"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has done one job of each kind already: what stays in memory from then on is no upload's cost."""
    need_weights()
    service = Service(tmp_path_factory.mktemp("cost"))
    try:
        for name in ("redis", "api", "worker"):
            service.start(name)
        service.wait_for_workers()
        forms: dict[str, dict[str, Any]] = {"images": {"motion": TURN}, "videos": {"motion": SWAY}, "motions": {}}
        for call, form in forms.items():
            job_id = service.create(call, f"first {call}", **form)
            service.finished(job_id)
            service.client.delete(f"/v1/jobs/{job_id}")
        yield service
    finally:
        service.stop()


@dataclass(frozen=True)
class Cost:
    """Peaks above what was there before, in MiB, and the longest that /healthz took, in seconds."""

    api_mib: float
    worker_mib: float
    stall_s: float


class Watch:
    """Looks at the service's processes, and asks it how it is, as long as the `with` block runs."""

    def __init__(self, service: Service) -> None:
        self._api = service.processes["api"].pid
        self._worker = psutil.Process(service.processes["worker"].pid)
        self._port = service.api_port
        self._end = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._look, self._ask)]
        self._most = self._before = _held(self._worker)
        self._stall = 0.0
        Path(f"/proc/{self._api}/clear_refs").write_text("5")  # from here on the peak is counted anew
        self._api_before = _status_mib(self._api, "VmRSS")

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    @property
    def cost(self) -> Cost:
        peak = _status_mib(self._api, "VmHWM")
        return Cost(peak - self._api_before, self._most - self._before, self._stall)

    def _look(self) -> None:
        while not self._end.wait(0.02):
            self._most = max(self._most, _held(self._worker))

    def _ask(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=60, trust_env=False) as client:
            while not self._end.wait(0.02):
                asked = time.perf_counter()
                assert client.get("/healthz").status_code == 200
                self._stall = max(self._stall, time.perf_counter() - asked)


def _held(process: psutil.Process) -> float:
    """What a process and its descendants hold in memory; what several share counts once."""
    held = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            rollup = Path(f"/proc/{each.pid}/smaps_rollup").read_text()
            held += next(int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return held


def _status_mib(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


Send = Callable[[bytes], httpx.Response]


def check(service: Service, bombs: dict[str, Callable[[float], bytes]], send: Send, few: int) -> None:
    """Send uploads of a group, wait until each is refused or its job has ended, and hold each to the bounds."""
    answers: Counter[int] = Counter()
    ends: Counter[str] = Counter()
    worst = Cost(0, 0, 0)

    def once(upload: bytes) -> Cost:
        with Watch(service) as watch:
            response = send(upload)
            answers[response.status_code] += 1
            assert response.status_code in (202, 400, 413, 415, 422, 429), response.text
            if response.status_code == 202:
                job_id = response.json()["id"]
                until(lambda: service.done([job_id]), lambda: service.log("worker"))
                job = service.job(job_id)
                assert job is not None
                error = job["error"]
                assert error is None or error["status"] < 500, error
                ends[error["type"].rpartition("/")[2] if error else "served"] += 1
                service.client.delete(f"/v1/jobs/{job_id}")
        return watch.cost

    @settings(
        max_examples=WANTED or few,
        derandomize=not WANTED,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(name=st.sampled_from(sorted(bombs)), share=st.floats(0.5, 1.0))
    def try_one(name: str, share: float) -> None:
        nonlocal worst
        upload = bombs[name](share)
        costs = [once(upload)]
        while costs[-1].stall_s > STALL_S and len(costs) < TRIES:
            costs.append(once(upload))
        cost = Cost(
            max(each.api_mib for each in costs),
            max(each.worker_mib for each in costs),
            min(each.stall_s for each in costs),
        )
        print(f"{name}, {len(upload) / MIB:.1f} MiB: {cost}")  # noqa: T201
        assert cost.api_mib <= API_MIB, (name, share, cost)
        assert cost.worker_mib <= WORKER_MIB, (name, share, cost)
        assert cost.stall_s <= STALL_S, (name, share, cost)
        worst = Cost(*(max(pair) for pair in zip(vars(worst).values(), vars(cost).values(), strict=True)))

    try_one()
    assert answers.total() > 0
    print(f"{answers.total()} uploads: {dict(sorted(answers.items()))}; jobs: {dict(ends.most_common())}; {worst}")  # noqa: T201


def test_photos(service: Service) -> None:
    def send(upload: bytes) -> httpx.Response:
        files = {"portrait": ("a", upload)}
        return service.client.post("/v1/images", files=files, data={"motion": TURN, "options": PLAIN})

    check(service, PHOTOS, send, few=8)


def test_sounds(service: Service) -> None:
    def send(upload: bytes) -> httpx.Response:
        return service.client.post("/v1/videos", files={"portrait": ("a", GOOD), "audio": ("a", upload)})

    check(service, SOUNDS, send, few=4)


def test_videos(service: Service) -> None:
    def send(upload: bytes) -> httpx.Response:
        return service.client.post("/v1/motions", files={"source": ("a", upload)})

    check(service, VIDEOS, send, few=5)


def test_motions(service: Service) -> None:
    def send(upload: bytes) -> httpx.Response:
        return service.client.post("/v1/videos", files={"portrait": ("a", GOOD), "motion": (None, upload)})

    check(service, MOTIONS, send, few=8)
