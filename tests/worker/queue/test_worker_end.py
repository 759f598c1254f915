"""How a worker ends, and what becomes of the job it was at."""

import socket
from pathlib import Path

import pytest

from jobs.schemas import JobStatus
from tests.worker.conftest import Bench, frames_in

pytestmark = pytest.mark.slow


def test_a_worker_told_to_stop_finishes_its_job(bench: Bench, portrait: Path, tiny: dict[str, str]) -> None:
    worker = bench.start_worker(**tiny)
    job_id = bench.submit_sway(portrait, 2)
    bench.rendering(job_id)
    worker.process.terminate()
    assert worker.process.wait(120) == 0
    record = bench.job(job_id)
    assert record.status is JobStatus.SUCCEEDED
    assert frames_in(bench.result(record)) == 51
    said = worker.log.read_text()
    assert f"pirenderer-{worker.process.pid}@{socket.gethostname()} ready." in said
    assert "superuser" not in said


def test_a_worker_told_to_stop_soon_gives_its_job_back(bench: Bench, portrait: Path, tiny: dict[str, str]) -> None:
    worker = bench.start_worker(REMAP_SIGTERM="SIGQUIT", **tiny)
    job_id = bench.submit_sway(portrait, 60)
    bench.rendering(job_id)
    worker.process.terminate()
    worker.process.wait(60)
    record = bench.job(job_id)
    assert (record.status, record.deliveries) == (JobStatus.QUEUED, 0)
    successor = bench.start_worker(**tiny)
    try:
        assert bench.rendering(job_id).status is JobStatus.RUNNING
        bench.store.request_cancel(job_id)
        assert bench.finished(job_id).status is JobStatus.CANCELED
    finally:
        successor.stop()
