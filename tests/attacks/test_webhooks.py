"""Webhooks against receivers that hold connections, and names that are none."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from jobs.problems import ProblemType
from jobs.store.creation import Terms
from jobs.webhooks import Webhook
from tests.service.conftest import Server, Start, photo
from tests.service.routes.test_create import YAW, refused
from tests.support.processes import until

ALICE, BOB = ({"X-API-Key": name * 32} for name in "ab")
HOURS_S = 10_000.0  # so that nobody is let go while a test waits
KEYS = ",".join(key["X-API-Key"] for key in (ALICE, BOB))


class Tarpit:
    """Takes connections and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        while True:
            try:
                self.held.append(self._listener.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for each in self.held:
            each.close()


@pytest.fixture
def tarpit() -> Iterator[Tarpit]:
    tarpit = Tarpit()
    yield tarpit
    tarpit.close()


@pytest.fixture
def told() -> Iterator[tuple[str, dict[str, float]]]:
    """A good receiver: its address, and which jobs it was told of and when."""
    times: dict[str, float] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            times[body["data"]["id"]] = time.monotonic()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", times
    server.shutdown()
    server.server_close()


def canceled(server: Server, url: str, key: dict[str, str]) -> str:
    """A job that has just been canceled, whose end is to be told at `url`."""
    data = {"motion": YAW, "webhook": json.dumps({"url": url})}
    job = server.client.post("/v1/images", files={"portrait": photo()}, data=data, headers=key)
    job.raise_for_status()
    job_id: str = job.json()["id"]
    server.client.post(f"/v1/jobs/{job_id}/cancel", headers=key).raise_for_status()
    return job_id


@pytest.mark.slow
def test_one_owners_tarpit_holds_nobody_elses_messages(
    start: Start, tarpit: Tarpit, told: tuple[str, dict[str, float]]
) -> None:
    server = start(api_keys=KEYS, rate="99999/second", webhook_private=True, webhook_timeout_s=HOURS_S)
    url, times = told
    for _ in range(60):
        canceled(server, tarpit.url, ALICE)
    until(lambda: len(tarpit.held) > 1, "nothing is sent to it")
    for _ in range(10):  # more than are sent at once for one owner
        last = canceled(server, url, BOB)
    until(lambda: last in times and len(times) == 10, lambda: f"{len(times)} are told")
    assert len(tarpit.held) < 10


def test_a_host_that_hangs_holds_no_other_host_however_many_owners_name_it(
    start: Start, tarpit: Tarpit, told: tuple[str, dict[str, float]]
) -> None:
    """Owners of jobs are made up here: what is bounded is what comes out of the store, not who came in."""
    server = start(api_keys=KEYS, webhook_private=True, webhook_timeout_s=HOURS_S)
    url, times = told
    hanging = tarpit.url.replace("127.0.0.1", "localhost")
    spec_of = server.spec(canceled(server, url, BOB))
    assert spec_of is not None
    for number in range(120):
        job_id = f"{number:032x}"
        terms = Terms(webhook=Webhook(url=hanging))
        server.context.store.create(job_id, spec_of, owner=f"owner{number % 40}", terms=terms)
        server.context.store.request_cancel(job_id)
    until(lambda: len(tarpit.held) > 4, "nothing is sent to it")
    last = canceled(server, url, BOB)
    until(lambda: last in times, "it is not told")
    assert len(tarpit.held) <= 16


def test_an_owner_tests_two_receivers_at_once_at_most(start: Start, tarpit: Tarpit) -> None:
    server = start(api_keys=KEYS, webhook_private=True, webhook_timeout_s=HOURS_S)

    def tested(url: str, key: dict[str, str]) -> httpx.Response:
        return server.client.post("/v1/webhooks/test", json={"url": url}, headers=key)

    with ThreadPoolExecutor(2) as threads:
        hanging = [threads.submit(tested, tarpit.url, ALICE) for _ in range(2)]
        until(lambda: len(tarpit.held) == 2, "nothing is sent to it")
        problem = refused(tested(tarpit.url, ALICE), ProblemType.TOO_MANY_REQUESTS)
        assert "2 tests of webhooks of this key's owner are under way" in problem["detail"]
        hanging.append(threads.submit(tested, tarpit.url, BOB))
        for count in (2, 3):
            until(lambda count=count: len(tarpit.held) == count, "nothing is sent to it")  # type: ignore[misc]
            for each in tarpit.held:
                each.close()
        assert [each.result().json()["outcome"] for each in hanging] == ["failed"] * 3


@pytest.mark.parametrize("url", ["https://a..b/", f"https://{'a' * 64}.example/", "https://.example.org/"])
def test_a_name_that_none_can_be_is_refused(server: Server, url: str) -> None:
    data = {"motion": YAW, "webhook": json.dumps({"url": url})}
    response = server.client.post("/v1/images", files={"portrait": photo()}, data=data)
    assert "cannot be a host's name" in refused(response, ProblemType.INVALID_WEBHOOK)["detail"]


@pytest.mark.parametrize("url", ["https://a..b/", "https://exa mple.org/", "nonsense"])
def test_whatever_goes_wrong_counts_as_an_attempt(start: Start, url: str) -> None:
    """These came into the store when they were still taken."""
    server = start(webhook_backoff="0.05")
    spec = server.spec(canceled(server, "https://example.invalid/", {}))
    assert spec is not None
    server.context.store.create("0" * 32, spec, owner="everyone", terms=Terms(webhook=Webhook(url=url)))
    server.context.store.request_cancel("0" * 32)

    def given_up() -> bool:
        record = server.context.store.get("0" * 32)
        assert record is not None
        assert record.webhook is not None
        return (record.webhook.status, record.webhook.attempts) == ("failed", 2)

    until(given_up, "it is tried for ever")
