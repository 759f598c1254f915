"""Sentinels watch two servers, and the master dies in the middle of the work."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, TURN, Service, until
from tests.support.redis_servers import RedisServer, running

pytestmark = pytest.mark.slow

PASSWORD, WATCH = "p%ss;w", "w%tch"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer, str]]:
    """A master, its replica, and the address by two Sentinels, of which the first is dead."""
    replica_of = ("--replicaof", "127.0.0.1 {port}", "--repl-diskless-sync-delay", "0")
    master = RedisServer(tmp_path / "master", password=PASSWORD)
    replica = RedisServer(
        tmp_path / "replica", *(each.format(port=master.port) for each in replica_of), password=PASSWORD
    )
    orders = [f"sentinel monitor ours 127.0.0.1 {master.port} 1", f"sentinel auth-pass ours {PASSWORD}"]
    orders += ["sentinel down-after-milliseconds ours 1000", "sentinel failover-timeout ours 3000"]
    sentinel = RedisServer(tmp_path / "sentinel", *orders, password=WATCH, sentinel=True)
    with running(master, replica, sentinel):
        with replica.client() as client, sentinel.client() as watcher:
            until(lambda: client.info("replication")["master_link_status"] == "up", "it does not follow")
            until(lambda: watcher.sentinel_master("ours")["num-slaves"] == 1, "the replica is not seen")
        addresses = f"127.0.0.1:1,127.0.0.1:{sentinel.port}"
        query = "service=ours&sentinel_password=w%25tch"
        yield master, replica, f"sentinel://default:p%25ss%3Bw@{addresses}/2?{query}"


def test_jobs_go_on_when_the_master_dies(tmp_path: Path, watched: tuple[RedisServer, RedisServer, str]) -> None:
    master, replica, url = watched
    service = Service(tmp_path)
    reached = {"PIRENDERER_REDIS_URL": url}
    try:
        assert "no worker of this machine" in healthy(reached, expected=1)
        service.start("api", environment=reached)
        service.start("worker", environment=reached)
        service.wait_for_workers()
        assert healthy(reached).startswith("heard of: ")
        jobs = [service.create("images", f"before-{number}", motion=TURN) for number in range(4)]
        until(lambda: service.done(jobs) >= 1, lambda: service.log("worker"))
        with master.client() as client:
            assert client.wait(1, 5000) == 1  # what was accepted is with the replica
        master.kill()
        began = time.monotonic()
        statuses = set[int]()
        with contextlib.suppress(redis.RedisError):
            until(lambda: statuses.add(poll(service)) or replica_leads(replica), "nobody leads")
        print(f"the replica leads after {time.monotonic() - began:.1f} s")  # noqa: T201
        assert statuses <= {200, 503}
        jobs += [service.create("images", f"after-{number}", motion=TURN) for number in range(2)]
        for job in service.finished(*jobs):
            assert job["status"] == "succeeded", job["error"]
        master.start()  # as a replica, sooner or later
        with master.client() as client:
            until(lambda: client.info("replication")["role"] == "slave", "it does not follow")
        assert service.create("images", "before-0", motion=TURN) == jobs[0]
        jobs.append(service.create("images", "last", motion=TURN))
        assert service.finished(jobs[-1])[0]["status"] == "succeeded"
        for name in ("api", "worker"):
            log = (tmp_path / f"{name}.log").read_text("utf-8")
            found = re.search(r"p%ss|p%25ss|w%tch|w%25tch|Traceback", log)
            assert found is None, log[max(0, found.start() - 500) :][:4000]
            for line in log.splitlines():
                assert not line.startswith("{") or len(json.dumps(line)) < 2000
    finally:
        service.stop()


def healthy(reached: dict[str, str], expected: int = 0) -> str:
    """What a container's probe says of the worker."""
    command = [sys.executable, "-m", "service.cli", "healthy", "worker"]
    environment = os.environ | reached
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


def poll(service: Service) -> int:
    response: httpx.Response = service.client.get("/v1/jobs")
    return response.status_code


def replica_leads(replica: RedisServer) -> bool:
    with replica.client() as client:
        return bool(client.info("replication")["role"] == "master")
