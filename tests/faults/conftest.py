"""A service with Redis running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    try:
        service.start("redis")
        yield service
    finally:
        service.stop()
