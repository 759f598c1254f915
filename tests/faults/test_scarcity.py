"""Memory or room on the disk does not suffice: what needs them ends with a problem that says so, and others go on."""

import contextlib
import io
import json
import os
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from jobs.problems import ProblemType
from jobs.store.names import Key
from service.running.connections import FILES_BESIDE, FILES_EACH, LOTS
from tests.support.processes import PORTRAIT, SWAY, TURN, Service, most_files, need_weights, until

pytestmark = [pytest.mark.slow, pytest.mark.alone]

MIB = 1 << 20
LARGE = json.dumps({"size": 512, "paste_back": False})


def enlarged(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    with Image.open(PORTRAIT) as photo:
        photo.convert("RGB").resize((width, height)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_memory_that_does_not_suffice_for_a_job(service: Service) -> None:
    """No process has more address space than what it uses and some MiB: an allocation fails, here or there."""
    need_weights()
    for name in ("api", "worker"):
        service.start(name)
    service.wait_for_workers()
    service.finished(service.create("images", "warm", motion=TURN))
    worker = service.child()
    assert worker is not None
    large = enlarged(5000, 6000)
    for spare in (20, 50, 80):
        most = worker.memory_info().vms + spare * MIB
        resource.prlimit(worker.pid, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        greedy = service.create("images", f"greedy {spare}", source=large + bytes([spare]), motion=TURN)
        (failed,) = service.finished(greedy)
        assert failed["error"]["type"].endswith(ProblemType.OUT_OF_MEMORY.uri), failed
        (modest,) = service.finished(service.create("images", f"modest {spare}", motion=TURN))
        service.check_done_once(modest)
        resource.prlimit(worker.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert service.child() == worker  # the same process all the time
    again = service.client.post(f"/v1/jobs/{greedy}/rerun").json()["id"]
    service.check_done_once(*service.finished(again))
    print("8 jobs, 3 without memory, 0 processes lost")  # noqa: T201


@pytest.fixture
def small_disk(service: Service) -> Iterator[Path]:
    """The data folder as a file system of 4 MiB."""
    folder = service.folder / "data"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"no file system can be mounted: {mount.stderr}")
    try:
        yield folder
    finally:
        service.stop()
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full(service: Service, small_disk: Path) -> None:
    need_weights()
    for name in ("api", "worker"):
        service.start(name)
    first = service.create("images", "first", motion=TURN)
    service.check_done_once(*service.finished(first))
    ballast = small_disk / "ballast"

    def leave(free: int) -> None:
        ballast.unlink(missing_ok=True)
        space = os.statvfs(small_disk)
        ballast.write_bytes(bytes(space.f_bavail * space.f_frsize - free))

    failed = []
    for call, motion in (("images", TURN), ("videos", SWAY)):
        leave(PORTRAIT.stat().st_size + 12_000)  # for the portrait, and not for the result
        (job,) = service.finished(service.create(call, f"large {call}", motion=motion, options=LARGE))
        assert job["error"]["type"].endswith(ProblemType.STORAGE_FULL.uri), job
        assert service.files(job["id"]) == {"portrait.jpg"}
        failed.append(job["id"])
    ballast.unlink()
    job_id = service.create("videos", "long", motion=SWAY.replace('"t": 1', '"t": 9'))
    until(lambda: int(str(service.redis.hget(f"{Key.JOB}{job_id}", "playable") or 0)), "no segment is done")
    leave(0)  # between its segments
    (job,) = service.finished(job_id)
    assert job["error"]["type"].endswith(ProblemType.STORAGE_FULL.uri), job
    assert service.files(job_id) == {"portrait.jpg"}
    failed.append(job_id)
    leave(20_000)  # not even for a portrait
    folders = set(service.artifacts.glob("??/*"))
    for call, form in (("images", {"motion": TURN}), ("portraits", {})):
        refused = service.client.post(f"/v1/{call}", files={"portrait": PORTRAIT.read_bytes()}, data=form)
        assert refused.status_code == 507
        assert refused.json()["type"].endswith(ProblemType.STORAGE_FULL.uri)
    assert set(service.artifacts.glob("??/*")) == folders
    leave(0)
    assert service.client.get("/readyz").status_code == 200
    service.check_done_once(*service.finished(first))  # what was there can be fetched
    ballast.unlink()
    for job_id in failed:
        again = service.client.post(f"/v1/jobs/{job_id}/rerun").json()["id"]
        service.check_done_once(*service.finished(again))
    print("4 jobs, 3 failed for want of room and made again, 0 lost")  # noqa: T201


def test_more_connections_than_files_can_be_opened(service: Service) -> None:
    """The server may open 1000 files: of 2000 connections most are told so at once, and nothing breaks."""
    most = (1000 - LOTS * (1000 // 16) - FILES_BESIDE) // FILES_EACH
    service.start("api", most_files(1000), {"PIRENDERER_HEADER_TIMEOUT_S": "60"})
    service.client.close()  # it would be one of them
    held: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for number in range(2000):
            held.append(stack.enter_context(socket.create_connection(("127.0.0.1", service.api_port), 10)))
            if number % 20 == 0:
                time.sleep(0.02)  # more at once, and the kernel lets some wait for a second
        answers = [connection.recv(4096) for connection in held[most:]]
    assert all(b"HTTP/1.1 503" in answer and b"/problems/unavailable" in answer for answer in answers)
    with httpx.Client(base_url=service.client.base_url, trust_env=False) as client:
        until(lambda: client.get("/readyz").status_code == 200, "it does not recover")
        created = client.post("/v1/images", files={"portrait": PORTRAIT.read_bytes()}, data={"motion": TURN})
        assert created.status_code == 202
    assert "Too many open files" not in (service.folder / "api.log").read_text()
    print(f"2000 connections: {most} held, {len(answers)} refused")  # noqa: T201
