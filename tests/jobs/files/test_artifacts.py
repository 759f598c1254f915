"""Artifacts are whole or absent, bounded, and named by us, in a folder as in a bucket."""

import hashlib
import re
from pathlib import Path

import pytest

from jobs.files.artifacts import Artifact, ArtifactMissingError, ArtifactStore, ArtifactTooLargeError
from jobs.files.bucket import BucketArtifacts
from jobs.files.folder import FolderArtifacts
from jobs.files.keys import new_id
from jobs.files.opening import make_artifacts
from jobs.settings import SharedSettings


@pytest.fixture(params=["folder", "bucket"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    given = request.getfixturevalue("bucket").settings if request.param == "bucket" else {}
    artifacts = make_artifacts(SharedSettings(data_dir=tmp_path, **given))
    assert isinstance(artifacts, BucketArtifacts if given else FolderArtifacts)
    artifacts.prepare()
    artifacts.check()
    return artifacts


@pytest.fixture
def job_id(artifacts: ArtifactStore) -> str:
    job_id = new_id()
    artifacts.create_folder(job_id)
    return job_id


def stored_bytes(artifacts: ArtifactStore, key: str) -> bytes:
    with artifacts.reading(key) as path:
        return path.read_bytes()


def is_missing(artifacts: ArtifactStore, key: str) -> bool:
    with pytest.raises(ArtifactMissingError), artifacts.reading(key):
        pytest.fail("it is there")
    with pytest.raises(ArtifactMissingError):
        artifacts.locate(key, method="GET", media_type="image/png", filename="x.png")
    return True


def litter(tmp_path: Path) -> list[Path]:
    """The files that are on this machine."""
    return [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".probe"]


def test_put_stores_a_stream_and_says_its_hash(artifacts: ArtifactStore, job_id: str) -> None:
    stored = artifacts.put(job_id, "portrait.jpg", [b"ab", b"c"], limit=3)
    assert re.fullmatch(rf"{job_id}/portrait(-[0-9a-f]+)?\.jpg", stored.key)
    assert stored == Artifact(stored.key, 3, hashlib.sha256(b"abc").hexdigest())
    assert stored_bytes(artifacts, stored.key) == b"abc"


def test_too_many_bytes_leave_nothing(artifacts: ArtifactStore, job_id: str, tmp_path: Path) -> None:
    draft = artifacts.draft(job_id, "portrait.jpg", limit=3)
    with pytest.raises(ArtifactTooLargeError, match="larger than the 3 bytes allowed"), draft:  # noqa: PT012
        draft.write(b"ab")
        draft.write(b"cd")
    assert is_missing(artifacts, draft.key)
    assert litter(tmp_path) == []


def test_an_encoder_writes_by_the_artifacts_name_and_fails_without_a_trace(
    artifacts: ArtifactStore, job_id: str, tmp_path: Path
) -> None:
    with artifacts.draft(job_id, "result.mp4") as draft:
        assert draft.path.name.endswith(".mp4")
        draft.path.write_bytes(b"whole")
        stored = draft.commit()
    with pytest.raises(RuntimeError), artifacts.draft(job_id, "result.mp4") as draft:  # noqa: PT012
        draft.path.write_bytes(b"half")
        draft.path.with_name("beside.tmp").write_bytes(b"the encoder's own")
        raise RuntimeError
    assert (stored.bytes, stored_bytes(artifacts, stored.key)) == (5, b"whole")
    assert [path.read_bytes() for path in litter(tmp_path)] in ([], [b"whole"])


def test_a_deleted_job_stays_deleted(artifacts: ArtifactStore, job_id: str) -> None:
    stored = artifacts.put(job_id, "portrait.jpg", [b"a"])
    artifacts.delete_folder(job_id)
    artifacts.delete_folder(job_id)
    assert is_missing(artifacts, stored.key)
    with pytest.raises(ArtifactMissingError):
        artifacts.put(job_id, "result.png", [b"a"])
    other = new_id()
    artifacts.create_folder(other)
    with pytest.raises(ArtifactMissingError):
        artifacts.link(stored.key, other)


def test_a_job_deleted_while_its_result_is_made_stays_deleted(
    artifacts: ArtifactStore, job_id: str, tmp_path: Path
) -> None:
    with artifacts.draft(job_id, "result.png") as draft:
        draft.write(b"late")
        artifacts.delete_folder(job_id)
        with pytest.raises(ArtifactMissingError):
            draft.commit()
    assert is_missing(artifacts, draft.key)
    assert list(artifacts.sweep(lambda job_id: False, older_than_s=-60)) == []
    assert litter(tmp_path) == []


def test_an_artifact_given_to_another_job_outlives_the_first(artifacts: ArtifactStore, job_id: str) -> None:
    stored = artifacts.put(job_id, "portrait.jpg", [b"abc"])
    other = new_id()
    with pytest.raises(ArtifactMissingError):
        artifacts.link(stored.key, other)
    assert is_missing(artifacts, stored.key.replace(job_id, other))
    artifacts.create_folder(other)
    linked = artifacts.link(stored.key, other)
    artifacts.delete_folder(job_id)
    assert linked.startswith(f"{other}/portrait")
    assert stored_bytes(artifacts, linked) == b"abc"


def test_what_dead_attempts_left_is_removed(artifacts: ArtifactStore, job_id: str, tmp_path: Path) -> None:
    portrait = artifacts.put(job_id, "portrait.jpg", [b"a"])
    unfinished = artifacts.draft(job_id, "result.mp4")
    unfinished.write(b"half")
    unfinished.close()
    result = artifacts.put(job_id, "result.png", [b"of an attempt that died before it could say so"])
    artifacts.clear(job_id, [portrait.key])
    assert not unfinished.path.exists()
    assert is_missing(artifacts, result.key)
    assert stored_bytes(artifacts, portrait.key) == b"a"
    artifacts.put(job_id, "result.png", [b"b"])  # the folder is still there


def test_only_old_folders_that_nobody_owns_are_swept(artifacts: ArtifactStore, job_id: str) -> None:
    orphan = new_id()
    artifacts.create_folder(orphan)
    keys = [artifacts.put(each, "portrait.jpg", [b"a"]).key for each in (job_id, orphan)]
    assert list(artifacts.sweep(lambda each: each == job_id, older_than_s=60)) == []
    assert list(artifacts.sweep(lambda each: each == job_id, older_than_s=-60)) == [orphan]
    assert stored_bytes(artifacts, keys[0]) == b"a"
    assert is_missing(artifacts, keys[1])


@pytest.mark.parametrize("key", ["../../etc/passwd", "0" * 32 + "/../x", "0" * 32 + "/.hidden", "0" * 31 + "/x", "x"])
def test_keys_not_ours_are_refused(artifacts: ArtifactStore, key: str) -> None:
    job_id, _, name = key.partition("/")
    with pytest.raises(ValueError, match="must"), artifacts.reading(key):
        pytest.fail("it was read")
    with pytest.raises(ValueError, match="must"):
        artifacts.draft(job_id, name)
    with pytest.raises(ValueError, match="must"):
        artifacts.locate(key, method="GET", media_type="image/png", filename="x.png")
