"""A Redis that hangs, loads, is full, cannot write its log or has become a replica: 503 for as long, and no 500."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from jobs.store.names import MESSAGES, RATES
from tests.service.conftest import Start, photo
from tests.support.processes import NO_TLS, TURN, until
from tests.support.redis_proxy import RedisProxy
from tests.support.redis_servers import RedisServer, running

BOUND_S = 20  # for any answer: five seconds for each of Redis' that is waited for


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis", "--enable-debug-command", "yes", "--enable-protected-configs", "yes")
    with running(server):
        yield server


def post(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/images", files={"portrait": photo()}, data={"motion": TURN}, timeout=BOUND_S)


def fill(server: RedisServer, folder: Path) -> Callable[[], None]:
    with server.client() as client:
        client.config_set("maxmemory", 1)

    def mend() -> None:
        with server.client() as client:
            client.config_set("maxmemory", 0)

    return mend


def become_a_replica(server: RedisServer, folder: Path) -> Callable[[], None]:
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)

    def mend() -> None:
        with server.client() as client:
            client.replicaof("NO", "ONE")

    return mend


def fail_to_save(server: RedisServer, folder: Path) -> Callable[[], None]:
    (folder / "taken.rdb" / "by a folder").mkdir(parents=True)
    with server.client() as client:
        client.config_set("dbfilename", "taken.rdb")
        client.config_set("save", "3600 1")
        client.bgsave()
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "it was saved")

    def mend() -> None:
        with server.client() as client:
            client.config_set("save", "")

    return mend


def hang(server: RedisServer, folder: Path) -> Callable[[], None]:
    server.hang()
    return server.go_on


def die(server: RedisServer, folder: Path) -> Callable[[], None]:
    server.kill()
    return server.start


@pytest.mark.parametrize("fault", [fill, become_a_replica, fail_to_save, hang, die], ids=lambda fault: fault.__name__)
def test_requests_are_refused_for_as_long_and_no_longer(
    redis_server: RedisServer,
    start: Start,
    tmp_path: Path,
    fault: Callable[[RedisServer, Path], Callable[[], None]],
) -> None:
    client = start(redis_url=redis_server.url).client
    first = post(client)
    assert first.status_code == 202
    with httpx.Client(base_url=client.base_url) as other:
        mend = fault(redis_server, tmp_path / "redis")
        try:
            answers = list[httpx.Response]()
            askers = [threading.Thread(target=lambda: answers.append(post(other))) for _ in range(8)]
            addresses = (f"/v1/jobs/{first.json()['id']}", "/v1/jobs", "/readyz", "/metrics")
            reads = [
                threading.Thread(target=lambda at=at: answers.append(other.get(at, timeout=BOUND_S)))
                for at in addresses
            ]
            for each in (*askers, *reads):
                each.start()
            for each in (*askers, *reads):
                each.join()
        finally:
            mend()
        assert len(answers) == len(askers) + len(addresses)  # none was given up
        for answer in answers:
            assert answer.status_code == 503 or answer.request.method == "GET", answer.text
            assert answer.status_code in (200, 503), answer.text
            if answer.status_code == 503 and answer.request.url.path not in ("/readyz", "/metrics"):
                assert answer.headers["Retry-After"]
                assert answer.json()["type"].endswith("unavailable")
        until(lambda: post(other).status_code == 202, "it does not go on")
        assert other.get(f"/v1/jobs/{first.json()['id']}").json()["status"] == "queued"


def test_a_full_redis_lets_who_has_a_rate_make_room(redis_server: RedisServer, start: Start, tmp_path: Path) -> None:
    client = start(redis_url=redis_server.url, api_keys=["k" * 32], rate="100/minute", quota="100/day").client
    client.headers["X-API-Key"] = "k" * 32
    job = post(client).json()
    mend = fill(redis_server, tmp_path)
    assert post(client).status_code == 503
    assert client.get(job["urls"]["self"]).status_code == 200
    assert client.delete(job["urls"]["self"]).status_code == 204
    mend()
    assert post(client).headers["RateLimit"].startswith('"requests";r=95')  # nothing was left uncounted
    with redis_server.client() as redis:
        assert redis.llen(MESSAGES + "images") == 2


@pytest.mark.parametrize("after", [False, True], ids=["before it is asked", "before it has answered"])
@pytest.mark.parametrize(
    "call",
    [
        b'{"key": "pirenderer:rate:requests',
        b'"seconds": 30',
        b'"rates": [{"key": "pirenderer:rate:jobs',
        b'"remembered"',
    ],
)
def test_a_request_that_lost_redis_makes_one_job_when_it_is_sent_again(
    redis_server: RedisServer, start: Start, call: bytes, *, after: bool
) -> None:
    proxy = RedisProxy(redis_server.port)
    server = start(redis_url=f"redis://127.0.0.1:{proxy.port}/0", api_keys=["k" * 32], rate="9/day", quota="9/day")
    server.client.headers.update({"X-API-Key": "k" * 32, "Idempotency-Key": "first"})
    assert post(server.client).status_code == 202  # so that Redis knows the scripts
    server.client.headers["Idempotency-Key"] = "second"
    lost = proxy.at(lambda _: None, call, after=after)
    assert post(server.client).status_code == 503
    assert lost.happened == 1
    assert post(server.client).status_code == 202
    assert post(server.client).headers["Idempotency-Replayed"] == "true"
    assert len(server.client.get("/v1/jobs").json()["jobs"]) == 2
    with redis_server.client() as redis:
        assert redis.llen(MESSAGES + "images") == 2
        assert redis.hget(*redis.keys(RATES + "jobs:*"), "count") == "2"


@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_connections_that_were_lost_while_nobody_asked_fail_no_request(
    redis_server: RedisServer, start: Start, how: str
) -> None:
    server = start(redis_url=redis_server.url)

    def ask(_: int) -> set[int]:
        with httpx.Client(base_url=server.url, timeout=BOUND_S, verify=NO_TLS) as client:
            return {post(client).status_code, client.get("/v1/jobs").status_code, client.get("/readyz").status_code}

    with ThreadPoolExecutor(8) as askers:
        before = set[int]().union(*askers.map(ask, range(16)))
        if how == "killed":
            redis_server.kill()
            redis_server.start()
        else:
            with redis_server.client() as redis:
                redis.client_kill_filter(_type="normal", skipme=True)
        after = set[int]().union(*askers.map(ask, range(16)))
    assert (before, after) == ({200, 202}, {200, 202})


def test_while_it_loads_requests_are_refused(redis_server: RedisServer, start: Start) -> None:
    client = start(redis_url=redis_server.url).client
    with redis_server.client() as redis:
        job_id = post(client).json()["id"]
        redis.mset({f"other:{number}": "x" for number in range(60)})
        redis.config_set("key-load-delay", 50_000)  # microseconds, each
        redis.config_set("loading-process-events-interval-bytes", 1024)
        loads = threading.Thread(target=lambda: redis.execute_command("DEBUG", "RELOAD", "NOFLUSH", "MERGE"))
        loads.start()
        refused = set[int]()
        until(lambda: refused.add(client.get(f"/v1/jobs/{job_id}").status_code) or 503 in refused, "it is loaded")
        assert refused <= {200, 503}
        loads.join()
        assert client.get(f"/v1/jobs/{job_id}").status_code == 200


def test_scripts_that_it_has_forgotten_are_sent_again(redis_server: RedisServer, start: Start) -> None:
    client = start(redis_url=redis_server.url).client
    assert post(client).status_code == 202
    with redis_server.client() as redis:
        redis.script_flush()
    assert post(client).status_code == 202


def test_a_front_end_all_of_whose_threads_wait_for_redis_says_that_it_lives(
    redis_server: RedisServer, start: Start
) -> None:
    client = start(redis_url=redis_server.url).client
    redis_server.hang()
    askers = [
        threading.Thread(target=lambda: httpx.get(f"{client.base_url}/metrics", timeout=BOUND_S, verify=NO_TLS))
        for _ in range(2 * 40)  # threads that answer calls
    ]
    try:
        for each in askers:
            each.start()
        for _ in range(5):
            time.sleep(0.5)
            assert client.get("/healthz", timeout=4).status_code == 200  # a probe waits no longer
    finally:
        redis_server.go_on()
    for each in askers:
        each.join()
