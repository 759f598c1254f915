"""What only a bucket has: names of its own for each put, signed addresses, other people's objects, and absence."""

import hashlib
import hmac
import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from jobs.files.artifacts import ArtifactsAwayError, InvalidArtifactStoreError, SignedUrl
from jobs.files.bucket import BucketArtifacts
from jobs.files.keys import new_id
from jobs.files.opening import make_artifacts
from jobs.settings import SharedSettings
from tests.support.buckets import CREDENTIALS, Bucket, S3Server

Open = Callable[..., BucketArtifacts]


@pytest.fixture
def opened(bucket: Bucket, tmp_path: Path) -> Open:
    """Opens the bucket with further settings."""

    def open_bucket(**settings: object) -> BucketArtifacts:
        return BucketArtifacts(SharedSettings.model_validate({"data_dir": tmp_path, **bucket.settings, **settings}))

    return open_bucket


def make_job(artifacts: BucketArtifacts) -> str:
    job_id = new_id()
    artifacts.create_folder(job_id)
    return job_id


def address(artifacts: BucketArtifacts, key: str, method: str = "GET") -> str:
    found = artifacts.locate(key, method=method, media_type="image/png", filename="made.png")
    assert isinstance(found, SignedUrl)
    return found.url


def signature(url: str, method: str) -> str:
    """What AWS documents as the signature of a query, for the host that the address names (SigV4)."""
    parts = urlsplit(url)
    pairs = sorted(pair for pair in parts.query.split("&") if not pair.startswith("X-Amz-Signature="))
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    request = [method, parts.path, "&".join(pairs), f"host:{parts.netloc}", "", "host", "UNSIGNED-PAYLOAD"]
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    scope = given["X-Amz-Credential"].partition("/")[2]
    key = f"AWS4{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (*scope.split("/"), "\n".join(["AWS4-HMAC-SHA256", given["X-Amz-Date"], scope, digest])):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def test_copies_of_a_job_do_not_replace_each_others_result(opened: Open, bucket: Bucket) -> None:
    artifacts = opened()
    job_id = make_job(artifacts)
    first, second = artifacts.draft(job_id, "result.png"), artifacts.draft(job_id, "result.png")
    first.write(b"slow copy")
    second.write(b"the job's holder")
    kept, late = second.commit(), first.commit()
    with artifacts.reading(kept.key) as path:
        assert path.read_bytes() == b"the job's holder"
    artifacts.clear(job_id, [kept.key])
    assert bucket.names() == [f"{job_id}/", kept.key]
    assert late.key != kept.key


def test_an_address_is_signed_for_a_short_time_and_says_what_it_holds(opened: Open) -> None:
    artifacts = opened(s3_url_lifetime_s=60)
    stored = artifacts.put(make_job(artifacts), "result.png", [b"0123456789"])
    url = address(artifacts, stored.key)
    asked = parse_qs(urlsplit(url).query)
    assert (asked["X-Amz-Expires"], asked["X-Amz-Algorithm"]) == (["60"], ["AWS4-HMAC-SHA256"])
    assert asked["X-Amz-Signature"] == [signature(url, "GET")]
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in url
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert {name: answer.headers[name] for name in ("content-type", "content-disposition", "cache-control")} == {
        "content-type": "image/png",
        "content-disposition": 'inline; filename="made.png"',
        "cache-control": "private, no-store",
    }
    assert httpx.get(url, headers={"Range": "bytes=2-4"}).content == b"234"
    head_url = address(artifacts, stored.key, "HEAD")
    assert head_url.endswith(f"X-Amz-Signature={signature(head_url, 'HEAD')}")
    head = httpx.head(head_url)
    assert (head.status_code, head.headers["content-length"]) == (200, "10")
    assert httpx.get(url.partition("?")[0]).status_code == 403  # nobody else may read


def test_clients_may_reach_the_bucket_at_another_address(opened: Open, bucket: Bucket) -> None:
    assert opened().origin == bucket.settings["s3_endpoint_url"]
    artifacts = opened(s3_public_url="https://files.example:9000")
    stored = artifacts.put(make_job(artifacts), "result.png", [b"x"])
    url = address(artifacts, stored.key)
    assert url.startswith(f"https://files.example:9000/{bucket.settings['s3_bucket']}/{stored.key}?")
    assert url.endswith(f"X-Amz-Signature={signature(url, 'GET')}")
    assert artifacts.origin == "https://files.example:9000"


def test_aws_is_reached_by_the_buckets_own_name(tmp_path: Path) -> None:
    artifacts = make_artifacts(SharedSettings(data_dir=tmp_path, s3_bucket="my-bucket", s3_region="eu-central-1"))
    assert artifacts.origin == "https://my-bucket.s3.eu-central-1.amazonaws.com"


def test_what_is_not_ours_is_left_alone(opened: Open, bucket: Bucket) -> None:
    artifacts = opened(s3_prefix="/portraits/")
    job_id = make_job(artifacts)
    stored = artifacts.put(job_id, "result.png", [b"x"])
    orphan = new_id()
    strangers = ["notes.txt", f"{orphan}/in-another-folder.png", "portraits/readme", "portraits/zz/x"]
    for name in (*strangers, f"portraits/{orphan}/put-after-its-job-was-deleted.png"):
        bucket.put(name)
    assert list(artifacts.sweep(lambda each: each == job_id, older_than_s=-60)) == [orphan]
    assert sorted(bucket.names()) == sorted([*strangers, f"portraits/{job_id}/", f"portraits/{stored.key}"])
    artifacts.delete_folder(job_id)
    assert sorted(bucket.names()) == sorted(strangers)


def test_a_job_with_more_objects_than_a_page_lists_goes_whole(
    opened: Open, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    artifacts = opened()
    job_id = make_job(artifacts)
    for number in range(21):
        bucket.put(f"{job_id}/x{number}")
    assert len(bucket.names()) == 5
    artifacts.delete_folder(job_id)
    assert bucket.names() == []


def test_old_scratch_files_are_swept(opened: Open, tmp_path: Path) -> None:
    """Those of a process that was killed, whose job was finished by another machine."""
    artifacts = opened()
    left, beginning = (artifacts.draft(new_id(), "result.mp4") for _ in range(2))
    hours_ago = time.time() - 2 * 3600
    os.utime(left.path.parent, (hours_ago, hours_ago))
    assert list(artifacts.sweep(lambda job_id: False, older_than_s=0)) == []
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == [beginning.path.parent.name]


def test_a_server_that_is_away_is_not_a_missing_file(opened: Open, s3_server: S3Server) -> None:
    artifacts = opened()
    job_id = make_job(artifacts)
    stored = artifacts.put(job_id, "portrait.jpg", [b"x"])
    draft = artifacts.draft(job_id, "result.png")
    draft.write(b"made with much work")
    s3_server.stop()
    try:
        for ask in (
            artifacts.check,
            lambda: artifacts.create_folder(new_id()),
            lambda: artifacts.delete_folder(job_id),
            lambda: artifacts.link(stored.key, job_id),
            lambda: artifacts.reading(stored.key).__enter__(),
            lambda: address(artifacts, stored.key),
            draft.commit,
        ):
            with pytest.raises(ArtifactsAwayError, match=r"does not answer \(EndpointConnectionError\)$"):
                ask()
    finally:
        s3_server.start()
    assert artifacts.put(job_id, "other.png", [b"x"])
    with artifacts.reading(draft.commit().key) as path:
        assert path.read_bytes() == b"made with much work"


def test_a_bucket_that_is_not_there_is_said(opened: Open) -> None:
    artifacts = opened(s3_bucket="nobodys")
    with pytest.raises(ArtifactsAwayError, match="has no such bucket"):
        artifacts.check()
    with pytest.raises(ArtifactsAwayError, match="answers NoSuchBucket"):
        artifacts.create_folder(new_id())


def test_without_credentials_nothing_is_asked(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ArtifactsAwayError, match="NoCredentialsError"):
        opened().check()


def test_settings_that_cannot_work_are_refused(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArtifactStoreError, match=r"^the bucket 'No such name' cannot be used: .*$"):  # one line
        opened(s3_bucket="No such name")
    with pytest.raises(InvalidArtifactStoreError, match="Invalid endpoint: storage"):
        opened(s3_endpoint_url="storage")
    real = importlib.import_module

    def without_boto3(name: str) -> object:
        if name == "boto3":
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", without_boto3)
    with pytest.raises(InvalidArtifactStoreError, match="pip install boto3"):
        opened()
