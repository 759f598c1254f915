"""A machine is lost, and another goes on from copies of what is to be backed up."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from service.access.keys import KeyFile
from tests.faults.test_bucket import check_done_once, start_worker
from tests.support.buckets import Bucket
from tests.support.processes import PORTRAIT, SWAY, TURN, Service, need_weights, until

pytestmark = pytest.mark.slow

KEPT = ("keys.json", "keys.lock", "webhooks.key")  # of the data folder, where files are in a bucket


@pytest.fixture
def after(tmp_path: Path) -> Iterator[Service]:
    """The machine that goes on."""
    (folder := tmp_path / "after").mkdir()
    service = Service(folder)
    try:
        yield service
    finally:
        service.stop()


def back_up(service: Service, to: Path) -> None:
    """What is to be copied, while it is written, Redis' log first and as its manual says."""
    with service.redis as client:
        client.bgrewriteaof()
        client.config_set("auto-aof-rewrite-percentage", 0)
        try:
            until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the rewriting does not end")
            until(lambda: not client.info("persistence")["aof_rewrite_scheduled"], "the rewriting does not begin")
            for path in service.folder.glob("appendonly*"):
                (shutil.copytree if path.is_dir() else shutil.copy)(path, to / path.name)
        finally:
            client.config_set("auto-aof-rewrite-percentage", 100)
    (to / "data").mkdir()
    for name in KEPT:
        shutil.copy2(service.folder / "data" / name, to / "data" / name)


def kill_everything(service: Service) -> None:
    """At once, as the power goes."""
    found = [psutil.Process(process.pid) for process in service.processes.values()]
    found += [child for process in found for child in process.children(recursive=True)]
    for process in found:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(found, timeout=20)


def test_another_machine_goes_on_from_a_backup(service: Service, after: Service, bucket: Bucket) -> None:
    need_weights()
    key, _ = KeyFile(service.folder / "data" / "keys.json").make("team")
    for machine in (service, after):
        machine.client.headers["Authorization"] = f"Bearer {key}"
    service.start("api", environment=bucket.environment)
    secret = service.client.get("/v1/webhooks/secret").json()
    portrait = service.client.post("/v1/portraits", files={"portrait": PORTRAIT.read_bytes()}).json()
    start_worker(service, bucket)
    ended = service.create("images", "ended", motion=TURN)
    (done,) = service.finished(ended)
    running = service.create("videos", "running", motion=SWAY)
    waiting = service.create("videos", "waiting", motion=SWAY)
    until(lambda: "running" in str(service.job(running)), lambda: service.log("worker"))
    back_up(service, after.folder)
    assert (service.job(waiting) or {})["status"] == "queued"
    kill_everything(service)

    after.start("redis")
    after.start("api", environment=bucket.environment)
    start_worker(after, bucket)
    jobs = after.finished(ended, running, waiting)
    for job in jobs:
        check_done_once(after, bucket, job)
    assert jobs[0]["result"] == done["result"]
    assert after.client.get("/v1/webhooks/secret").json() == secret
    assert after.create("images", "ended", motion=TURN) == ended  # an Idempotency-Key is still known
    assert after.client.get(f"/v1/portraits/{portrait['id']}/file").status_code in (200, 307)
    listed = after.client.get("/v1/jobs").json()["jobs"]
    assert {job["id"] for job in listed} == {ended, running, waiting}
    assert after.client.get("/v1/jobs", headers={"Authorization": "Bearer another"}).status_code == 401
    print(f"{len(jobs)} jobs acknowledged, a machine lost, 0 lost")  # noqa: T201
