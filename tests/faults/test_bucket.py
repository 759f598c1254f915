"""Front-end and worker as processes that share nothing but Redis and a bucket, which may be away at any time."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.buckets import CREDENTIALS, Bucket, S3Server
from tests.support.processes import SWAY, TURN, Service, need_weights, until

pytestmark = pytest.mark.slow


@pytest.fixture
def machines(service: Service, bucket: Bucket, tmp_path: Path) -> Iterator[Service]:
    """A service whose worker has a data folder of its own."""
    need_weights()
    service.start("api", environment=bucket.environment)
    yield service
    told = [path.read_text() for path in tmp_path.glob("*.log")]
    assert not any(CREDENTIALS["AWS_SECRET_ACCESS_KEY"] in text or "X-Amz-Signature" in text for text in told)


def start_worker(service: Service, bucket: Bucket) -> Path:
    """Returns its scratch folder."""
    folder = service.folder / "of-the-worker"
    service.start("worker", environment={**bucket.environment, "PIRENDERER_DATA_DIR": str(folder)})
    return folder / "scratch"


def check_done_once(service: Service, bucket: Bucket, job: dict[str, Any]) -> None:
    """The job has one result, which is whole, and no object but that, its folder, the portrait and what plays of it."""
    assert job["status"] == "succeeded", job["error"]
    answer = service.client.get(job["urls"]["result"])
    assert answer.status_code == 307
    result = httpx.get(answer.headers["location"])
    assert hashlib.sha256(result.content).hexdigest() == job["result"]["sha256"]
    assert result.headers["content-type"] == job["result"]["media_type"]
    names = {key.partition("/")[2] for key in bucket.names() if key.startswith(job["id"])}
    if job["kind"] == "video":
        names -= service.played(job["id"])
    assert sorted(name.partition("-")[0] for name in names) == ["", "portrait", "result"]


def test_jobs_are_done_through_a_bucket_whatever_dies(machines: Service, bucket: Bucket, s3_server: S3Server) -> None:
    scratch = start_worker(machines, bucket)
    image = machines.create("images", "image", motion=TURN)
    video = machines.create("videos", "video", motion=SWAY)
    until(lambda: "render" in str(machines.job(video)), lambda: machines.log("worker"))
    machines.kill_child()
    until(lambda: machines.attempts(video, "1") == 1, lambda: machines.log("worker"))
    s3_server.stop()  # when the segment is rendered, there is nowhere to put it
    try:
        until(lambda: "waiting for a store" in machines.log("worker"), lambda: machines.log("worker"))
    finally:
        s3_server.start()
    jobs = machines.finished(image, video)
    for job in jobs:
        check_done_once(machines, bucket, job)
    assert list(scratch.iterdir()) == []
    for job in jobs:
        assert machines.client.delete(job["urls"]["self"]).status_code == 204
    assert bucket.names() == []
    assert not (machines.folder / "data" / "artifacts").exists()
    print("2 jobs, 2 faults, 0 lost")  # noqa: T201


def test_a_job_whose_files_are_away_waits_for_them(machines: Service, bucket: Bucket, s3_server: S3Server) -> None:
    job_id = machines.create("images", "k", motion=TURN)
    s3_server.stop()
    try:
        start_worker(machines, bucket)
        until(lambda: "the job is queued again" in machines.log("worker"), lambda: machines.log("worker"))
        until(lambda: "queued" in str(machines.job(job_id)), "it is not queued")
        refused = machines.client.get("/readyz")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    finally:
        s3_server.start()
    (job,) = machines.finished(job_id)
    check_done_once(machines, bucket, job)
    assert machines.deliveries(job_id) == 1  # that it was given back does not count
