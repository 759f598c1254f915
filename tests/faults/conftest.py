"""A service with Redis running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Service
from tests.support.tiny_weights import tiny_settings


@pytest.fixture(autouse=True, scope="package")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is asked here is whether jobs are done, not what their pictures show."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in tiny_settings(tmp_path_factory.mktemp("weights")).items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    try:
        service.start("redis")
        yield service
    finally:
        service.stop()
