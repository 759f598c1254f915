"""A job store in a database of its own, and the steps that its tests begin with."""

import pytest

from jobs.files.keys import new_id
from jobs.motions import ControlsMotion
from jobs.schemas import ImageSpec, InputFile, Result
from jobs.store.jobs import JobStore
from jobs.store.records import Claim, JobRecord

SPEC = ImageSpec(
    portrait=InputFile(key="portrait.jpg", media_type="image/jpeg", bytes=1, sha256="0"),
    motion=ControlsMotion(controls={"yaw": 20.0}),
)
RESULT = Result(media_type="image/png", bytes=3, sha256="abc", width=256, height=256)


@pytest.fixture
def redis_url(redis_url: str) -> str:
    """A database of our own: no server's housekeeping shall do what is tested here."""
    return f"{redis_url.removesuffix('/0')}/1"


def create(store: JobStore, **keywords: object) -> str:
    job_id = new_id()
    store.create(job_id, SPEC, **{"owner": "me", **keywords})
    return job_id


def read(store: JobStore, job_id: str) -> JobRecord:
    record = store.get(job_id)
    assert record is not None
    return record


def claim(store: JobStore, job_id: str, holder: str = "host:1", lease_s: float = 30) -> Claim:
    taken = store.claims.claim(job_id, holder=holder, lease_s=lease_s)
    assert isinstance(taken, Claim)
    return taken
