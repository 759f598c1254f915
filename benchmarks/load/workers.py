"""Workers that render nothing: all of a worker but the models.

They take messages with kombu, as Celery's worker does, under Celery's settings (acknowledged late, one at a time), and
do jobs with the worker's own runner: claim, lease, progress, result file, timings, end. They are threads of a few
processes, since 64 workers would be 128 processes, which belong on machines of their own.
"""

import multiprocessing
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from kombu import Consumer, Queue
from kombu.message import Message

from benchmarks.load.waiting_videos import WaitingVideos
from jobs.kinds import QUEUES
from jobs.logs import configure_logging
from jobs.messages import kind_of_task, make_celery
from jobs.schemas import JobKind
from worker.make.output import Output
from worker.queue.heartbeat import Heartbeat
from worker.queue.makers import MAKERS, Inputs
from worker.queue.runner import Runner
from worker.settings import WorkerSettings
from worker.workbench import Workbench

STAGES = ("decode", "face", "motion", "render", "paste", "encode")
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(65_536)
THREADS = 16  # of a process

Ends = SimpleQueue[tuple[int, float]]  # numbers of workers, and when they ended a job


class WaitingRunner(Runner):
    """A runner whose every image takes the same time, and every frame of a video."""

    def __init__(self, settings: WorkerSettings, number: int, job_s: float) -> None:
        super().__init__(settings)
        self._machine = f"{self._machine}-{number}"  # as on machines of their own: these share a process
        self._holder = f"{self._machine}:1"
        self._job_s = job_s
        self.heartbeat = Heartbeat(
            self.store.workers,
            self._holder,
            facts={"batch_size": 1},
            every_s=settings.live_s / 4,
            beside=self._free_the_dead,
        )
        self._makers = {JobKind.IMAGE: MAKERS[JobKind.IMAGE]._replace(make=self._wait)}
        self._videos = WaitingVideos(self.store, self._artifacts, self._insist, most_workers=None)

    def _wait(self, bench: Workbench, _spec: Any, _inputs: Inputs, path: Path) -> Output:
        for stage in STAGES:
            with bench.stages.run(stage):
                time.sleep(self._job_s / len(STAGES))
        path.write_bytes(PICTURE)
        return Output("image/png", width=256, height=256)


@dataclass(frozen=True)
class Shared:
    """What the processes share: how many workers are to work, and the ends of their jobs."""

    active: "Synchronized[int]"
    ends: "Ends"


class Workers:
    """Those that were activated work; `efficiency` tells how well."""

    def __init__(self, shared: Shared, job_s: float) -> None:
        self._shared = shared
        self._job_s = job_s

    def activate(self, count: int) -> None:
        """Let `count` work, which may not be fewer than before."""
        self._shared.active.value = count

    def efficiency(self, began: float) -> float:
        """A job's own time over the time from one end of a job to the next, on average over what ended since `began`.

        The time is that of `time.monotonic`.
        """
        ends: dict[int, list[float]] = defaultdict(list)
        while not self._shared.ends.empty():
            number, ended = self._shared.ends.get()
            if ended >= began:
                ends[number].append(ended)
        passed = sum(times[-1] - times[0] for times in ends.values())
        return self._job_s * sum(len(times) - 1 for times in ends.values()) / passed


@contextmanager
def workers(settings: WorkerSettings, *, most: int, job_s: float) -> Iterator[Workers]:
    """Up to `most` workers whose every job takes `job_s` seconds; none is active yet."""
    context = multiprocessing.get_context("spawn")
    shared = Shared(context.Value("i", 0), context.SimpleQueue())
    numbers = [range(first, min(first + THREADS, most)) for first in range(0, most, THREADS)]
    ready = context.Barrier(len(numbers) + 1)
    processes = [context.Process(target=_run, args=(settings, each, job_s, shared, ready)) for each in numbers]
    for process in processes:
        process.start()
    try:
        ready.wait(120)
        yield Workers(shared, job_s)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _run(settings: WorkerSettings, numbers: range, job_s: float, shared: Shared, ready: threading.Barrier) -> None:
    configure_logging("ERROR")
    runners = {number: WaitingRunner(settings, number, job_s) for number in numbers}
    threads = [
        threading.Thread(target=_consume, args=(runner, settings, number, shared), daemon=True)
        for number, runner in runners.items()
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    for thread in threads:
        thread.join()


def _consume(runner: WaitingRunner, settings: WorkerSettings, number: int, shared: Shared) -> None:
    while number >= shared.active.value:
        time.sleep(0.05)
    runner.heartbeat.start()
    runner.heartbeat.ready()

    def on_message(message: Message) -> None:
        runner.run(kind_of_task(message.headers["task"]), token=message.headers["id"])
        message.ack()
        shared.ends.put((number, time.monotonic()))

    with make_celery(settings.redis_url).connection_for_read() as connection:
        queues = [Queue(name) for name in QUEUES]
        consumer = Consumer(connection, queues, on_message=on_message, accept=["json"], prefetch_count=1)
        with consumer:
            while True:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
