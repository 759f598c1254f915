"""A job store in a database of its own, and the steps that its tests begin with."""

import pytest

from jobs.files.keys import new_id
from jobs.motions import ControlsMotion
from jobs.schemas import ImageSpec, InputFile, Result
from jobs.store.jobs import JobStore
from jobs.store.names import Key, lock_key
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


def lapse(store: JobStore, *claims: Claim) -> None:
    """Let the leases of workers that died run out."""
    for each in claims:
        assert store._redis.delete(lock_key(each.job_id, each.part))


def age(store: JobStore, job_id: str, since: str, seconds: float) -> None:
    """Let something of a job, a time that its hash has, be so much longer ago."""
    store._redis.hincrbyfloat(Key.JOB + job_id, since, -seconds)
