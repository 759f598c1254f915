"""How a worker ends, and what becomes of the job it was at."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from jobs.files.keys import new_id
from jobs.machine import machine
from jobs.messages import job_message
from jobs.schemas import JobKind, JobStatus
from jobs.store.names import Key
from tests.support.processes import child_of, until
from tests.worker.conftest import Bench, WorkerProcess, frames_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def start(bench: Bench, tiny: dict[str, str]) -> Iterator[Callable[[], WorkerProcess]]:
    """Starts the worker that both tests use, when it is needed first."""

    @cache
    def start_worker() -> WorkerProcess:
        return bench.start_worker(**tiny)

    yield start_worker
    if start_worker.cache_info().currsize:
        start_worker().stop()


def end_idle(bench: Bench, worker: WorkerProcess) -> None:
    """Told to stop, it is not counted any more."""
    (name,) = bench.store.workers.names()
    assert bench.store.workers.wanted() == 0
    worker.process.terminate()
    worker.process.wait(30)
    for _ in range(2):  # nor does a beat that was under way say that it lives
        assert bench.store.workers.live() == {}
        assert not bench.store.workers._redis.exists(Key.WORKER + name)
        time.sleep(0.5)


def test_an_idle_worker_told_to_stop_soon_is_not_counted_any_more(bench: Bench, tiny: dict[str, str]) -> None:
    worker = bench.start_worker(REMAP_SIGTERM="SIGQUIT", **tiny)
    bench.wait_for_workers(1)
    end_idle(bench, worker)


def test_a_worker_told_to_stop_as_it_hands_a_message_over_does_not_wait_for_it_to_begin(
    bench: Bench, tiny: dict[str, str]
) -> None:
    worker = bench.start_worker(**tiny)
    bench.wait_for_workers(1)
    before = new_id()
    bench.store.send(job_message(before, JobKind.VIDEO))
    until(lambda: re.search(f"{before}.* succeeded", worker.log.read_text()), "its child works on no message")
    child = child_of(worker.process)
    assert child is not None
    child.suspend()
    job_id = new_id()
    bench.store.send(job_message(job_id, JobKind.VIDEO))
    until(lambda: job_id in worker.log.read_text(), "the message is not taken")
    heard = worker.log.read_text().count("Warm shutdown")
    worker.process.terminate()
    until(lambda: worker.log.read_text().count("Warm shutdown") > heard, "the signal is not heard")
    time.sleep(2)  # it forgets the message, of which its child has said nothing
    child.resume()
    assert worker.process.wait(30) == 0
    assert bench.store.workers.live() == {}


@pytest.mark.parametrize("variables", [{}, {"REMAP_SIGTERM": "SIGQUIT"}], ids=["stop", "stop soon"])
def test_a_worker_told_to_stop_does_not_wait_until_its_models_are_loaded(
    variables: dict[str, str], bench: Bench, tiny: dict[str, str]
) -> None:
    worker = bench.start_worker(**variables, **tiny)
    until(lambda: child_of(worker.process), "no child is started")
    child = child_of(worker.process)
    assert child is not None
    child.suspend()
    bench.store.workers.beat(f"{machine()}:{child.pid}", {"state": "loading"})  # as it does
    until(lambda: f"{worker.process.pid}@{socket.gethostname()} ready." in worker.log.read_text(), "no consumer")
    end_idle(bench, worker)
    assert not child.is_running()


def test_a_worker_told_to_stop_soon_gives_back_what_it_is_at(
    bench: Bench, portrait: Path, tiny: dict[str, str], start: Callable[[], WorkerProcess]
) -> None:
    worker = bench.start_worker(REMAP_SIGTERM="SIGQUIT", **tiny)
    job_id = bench.submit_sway(portrait, 60)
    bench.rendering(job_id)
    worker.process.terminate()
    worker.process.wait(60)
    assert bench.store.turns.taken() == []
    assert [turn.job_id for turn in bench.store.turns.going()] == [job_id]
    assert bench.store.workers.live() == {}
    assert bench.store.workers.wanted() > 1
    assert bench.job(job_id).status is JobStatus.RUNNING
    rendered = bench.job(job_id).progress
    start()
    assert rendered is not None
    bench.wait(job_id, lambda job: job.progress is not None and job.progress.done > rendered.done + 24)
    bench.store.request_cancel(job_id)
    assert bench.finished(job_id).status is JobStatus.CANCELED


def test_a_worker_told_to_stop_finishes_its_segment_and_others_the_video(
    bench: Bench, portrait: Path, tiny: dict[str, str], start: Callable[[], WorkerProcess]
) -> None:
    worker = start()
    job_id = bench.submit_sway(portrait, 4)
    bench.rendering(job_id)
    worker.process.terminate()
    assert worker.process.wait(120) == 0
    assert bench.store.turns.taken() == []
    other = bench.start_worker(**tiny)
    record = bench.finished(job_id)
    until(lambda: bench.store.workers.wanted() == 0, "something is still to be done")
    end_idle(bench, other)
    assert record.status is JobStatus.SUCCEEDED
    assert frames_in(bench.result(record)) == 101
    said = worker.log.read_text()
    assert f"pirenderer-{worker.process.pid}@{socket.gethostname()} ready." in said
    assert "superuser" not in said
