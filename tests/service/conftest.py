"""An empty job store and artifact folder for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service.jobs.artifacts import ArtifactStore
from service.jobs.store import JobStore


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    store = JobStore.connect(redis_url)
    yield store
    store.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")
