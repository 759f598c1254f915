"""Redis is killed and started again, and hangs, under a stream of requests: nothing that was accepted is lost."""

import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.support.processes import PLAIN, PORTRAIT, TURN, Service, until

pytestmark = pytest.mark.slow

BOUND_S = 20  # for any answer: five seconds for each of Redis' that is waited for


class Stream:
    """Sends and asks in turn, until it is stopped; keeps what was accepted and how the answers were."""

    def __init__(self, service: Service) -> None:
        self.accepted: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self.told = True  # when to come again, in all refusals
        self.broken: list[str] = []
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Stream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._service.client.base_url, timeout=BOUND_S, trust_env=False) as client:
            while not self._stop.wait(0.5):
                try:
                    files, data = {"portrait": PORTRAIT.read_bytes()}, {"motion": TURN, "options": PLAIN}
                    response = self._note(client.post("/v1/images", files=files, data=data))
                    if response.is_success:
                        self.accepted.append(response.json()["id"])
                    if self.accepted:
                        self._note(client.get(f"/v1/jobs/{self.accepted[-1]}"))
                except httpx.TransportError as error:
                    self.broken.append(repr(error))

    def _note(self, response: httpx.Response) -> httpx.Response:
        self.statuses[response.status_code] += 1
        self.slowest = max(self.slowest, response.elapsed.total_seconds())
        self.told = self.told and (response.status_code != 503 or "Retry-After" in response.headers)
        return response


@pytest.mark.timeout(600)
def test_no_accepted_job_is_lost_and_no_request_waits_long(service: Service, tmp_path: Path) -> None:
    service.start("api")
    service.start("worker")
    service.wait_for_workers()
    with Stream(service) as stream:
        accepts(stream, service)
        for away_s in (2, 5, 14):  # the last longer than a lease
            if away_s == 2:
                time.sleep(1.5)  # in which the log is synced
                service.kill("redis")
                time.sleep(away_s)
                service.start("redis")
            else:
                service.processes["redis"].send_signal(signal.SIGSTOP)
                time.sleep(away_s)
                service.processes["redis"].send_signal(signal.SIGCONT)
            accepts(stream, service)
    print(f"{stream.statuses}, slowest {stream.slowest:.1f} s")  # noqa: T201
    assert stream.broken == []
    assert set(stream.statuses) == {200, 202, 503}
    assert stream.told
    until(
        lambda: all(done(service, each) for each in stream.accepted),
        lambda: service.log("worker"),
        every_s=1,
        within_s=240,
    )
    for name in ("api", "worker"):
        log = (tmp_path / f"{name}.log").read_text("utf-8")
        assert "Traceback" not in log, log[max(0, log.index("Traceback") - 500) :][:4000]


def accepts(stream: Stream, service: Service) -> None:
    before = len(stream.accepted)
    until(lambda: len(stream.accepted) > before + 2, lambda: service.log("api"))


def done(service: Service, job_id: str) -> bool:
    job = service.job(job_id)
    return job is not None and job["status"] == "succeeded"
