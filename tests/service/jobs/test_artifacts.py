"""Artifacts are whole or absent, bounded, and named by us."""

import hashlib
from pathlib import Path

import pytest

from service.jobs.artifacts import ArtifactMissingError, ArtifactStore, ArtifactTooLargeError, new_job_id


@pytest.fixture
def job_id(artifacts: ArtifactStore) -> str:
    job_id = new_job_id()
    artifacts.create_folder(job_id)
    return job_id


def folder(artifacts: ArtifactStore, job_id: str) -> Path:
    return artifacts.path(f"{job_id}/x").parent


def test_put_stores_a_stream_and_says_its_hash(artifacts: ArtifactStore, job_id: str) -> None:
    stored = artifacts.put(job_id, "portrait.jpg", [b"ab", b"c"], limit=3)
    assert (stored.key, stored.bytes) == (f"{job_id}/portrait.jpg", 3)
    assert stored.sha256 == hashlib.sha256(b"abc").hexdigest()
    with artifacts.open(stored.key) as file:
        assert file.read() == b"abc"
    assert artifacts.describe(stored.key) == stored


def test_too_many_bytes_leave_nothing(artifacts: ArtifactStore, job_id: str) -> None:
    with pytest.raises(ArtifactTooLargeError, match="larger than the 3 bytes allowed"):
        artifacts.put(job_id, "portrait.jpg", [b"ab", b"cd"], limit=3)
    assert list(folder(artifacts, job_id).iterdir()) == []


def test_an_encoder_that_fails_leaves_the_old_file(artifacts: ArtifactStore, job_id: str) -> None:
    with artifacts.writing(job_id, "result.mp4") as path:
        assert path.suffix == ".mp4"
        path.write_bytes(b"whole")
    with pytest.raises(RuntimeError), artifacts.writing(job_id, "result.mp4") as path:  # noqa: PT012
        path.write_bytes(b"half")
        raise RuntimeError
    assert artifacts.describe(f"{job_id}/result.mp4").bytes == 5
    assert [path.name for path in folder(artifacts, job_id).iterdir()] == ["result.mp4"]


def test_a_deleted_job_stays_deleted(artifacts: ArtifactStore, job_id: str) -> None:
    artifacts.put(job_id, "portrait.jpg", [b"a"])
    artifacts.delete_job(job_id)
    artifacts.delete_job(job_id)
    with pytest.raises(ArtifactMissingError):
        artifacts.open(f"{job_id}/portrait.jpg")
    with pytest.raises(ArtifactMissingError):
        artifacts.put(job_id, "result.png", [b"a"])
    with pytest.raises(ArtifactMissingError), artifacts.writing(job_id, "result.mp4"):
        pytest.fail("the folder is gone")


@pytest.mark.parametrize("key", ["../../etc/passwd", "0" * 32 + "/../x", "0" * 32 + "/.hidden", "0" * 31 + "/x", "x"])
def test_keys_not_ours_are_refused(artifacts: ArtifactStore, key: str) -> None:
    with pytest.raises(ValueError, match="must"):
        artifacts.path(key)
