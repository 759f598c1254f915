"""What all tests share: a real Redis and a real S3 server, and how they are run."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from jobs.store.jobs import JobStore
from service.running.embedded import find_redis_server
from tests.support.buckets import CREDENTIALS, Bucket, S3Server
from tests.support.costs import Costs
from tests.support.paths import ROOT

# Read when torch is imported, here and in the processes that tests start: two lanes of one thread use two cores better
# than one of two, above all for networks as small as those of tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Else each of the many processes that tests start would compile the whole service anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(ROOT / ".pytest_cache" / "inductor"))
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--costs",
        type=int,
        metavar="N",
        help="show the N tests that take most processor time, and fail those that take more than 3 s unmarked",
    )


def pytest_configure(config: pytest.Config) -> None:
    if (shown := config.getoption("--costs")) is not None:
        config.pluginmanager.register(Costs(shown))


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this session's own on a free loopback port, with the persistence the service asks for."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
    server = find_redis_server()
    if server is None:
        pytest.skip("no redis-server on PATH and no bundled one")
    process = subprocess.Popen(
        [server, *arguments, "--dir", str(folder), "--maxmemory-policy", "noeviction"],
        stdout=subprocess.DEVNULL,
    )
    try:
        with redis.Redis(port=port) as client:
            for _ in range(100):
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    store = JobStore.connect(redis_url)
    yield store
    store.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server of this session's own, and credentials in the environment."""
    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """An empty bucket."""
    return s3_server.bucket()
