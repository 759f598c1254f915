"""Workers that render nothing: all of a worker but the models.

They take messages with kombu, as Celery's worker does, under Celery's settings (acknowledged late, one at a time), and
do jobs with the worker's own runner: claim, lease, progress, result file, timings, end. They are threads of a few
processes, since 64 workers would be 128 processes, which belong on machines of their own.
"""

import multiprocessing
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
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
from jobs.machine import machine
from jobs.messages import kind_of_task
from jobs.schemas import JobKind
from worker.make.output import Output
from worker.queue.app import make_app
from worker.queue.heartbeat import Heartbeat
from worker.queue.holds import Holds
from worker.queue.makers import MAKERS, Inputs
from worker.queue.runner import Runner
from worker.settings import WorkerSettings
from worker.workbench import Workbench

STAGES = ("decode", "face", "motion", "render", "paste", "encode")
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(65_536)
THREADS = 16  # of a process

Ends = SimpleQueue[tuple[int, float]]  # numbers of workers, and when they ended a job


@dataclass(frozen=True)
class Paces:
    """What an image takes, in seconds, and how many times faster than measured videos are made."""

    job_s: float
    faster: float = 1.0


class WaitingRunner(Runner):
    """A runner whose every image takes the same time, and every frame of a video.

    What it is at is given back when it is told to stop (`told_to_stop`), as a worker's process does on SIGTERM.
    """

    def __init__(self, settings: WorkerSettings, number: int, paces: Paces, told_to_stop: Callable[[], bool]) -> None:
        super().__init__(settings)
        self._holder = f"{machine()}-{number}:1"  # as on machines of their own: these share a process
        self._job_s = paces.job_s
        self._told_to_stop = told_to_stop
        self._makers = {JobKind.IMAGE: MAKERS[JobKind.IMAGE]._replace(make=self._make)}
        self._videos = WaitingVideos(
            self.store,
            self._artifacts,
            self._insist,
            most_workers=None,
            wait=self._wait,
            faster=paces.faster,
        )
        self._holds = Holds(
            self.store, self._holder, lease_s=settings.lease_s, tell=self._videos.tell, exhausted=self._tidy
        )
        self.heartbeat = Heartbeat(
            self.store.workers,
            self._holder,
            facts={"batch_size": 1},
            every_s=settings.live_s / 4,
            beside=self._holds.free_the_dead,
        )

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)
        if self._told_to_stop():
            raise SystemExit

    def _make(self, bench: Workbench, _spec: Any, _inputs: Inputs, path: Path) -> Output:
        for stage in STAGES:
            with bench.stages.run(stage):
                self._wait(self._job_s / len(STAGES))
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
        """Let the first `count` work; where these are fewer than before, the others give back what they are at."""
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
def workers(settings: WorkerSettings, *, most: int, job_s: float, faster: float = 1.0) -> Iterator[Workers]:
    """Up to `most` workers whose every image takes `job_s` seconds, and that make videos so many times faster than was
    measured; none is active yet."""
    context = multiprocessing.get_context("spawn")
    shared = Shared(context.Value("i", 0), context.SimpleQueue())
    numbers = [range(first, min(first + THREADS, most)) for first in range(0, most, THREADS)]
    ready = context.Barrier(len(numbers) + 1)
    processes = [
        context.Process(target=_run, args=(settings, each, Paces(job_s, faster), shared, ready)) for each in numbers
    ]
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


def _run(settings: WorkerSettings, numbers: range, paces: Paces, shared: Shared, ready: threading.Barrier) -> None:
    configure_logging("error")
    threads = [
        threading.Thread(target=_be_active_in_turn, args=(settings, number, paces, shared), daemon=True)
        for number in numbers
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    for thread in threads:
        thread.join()


def _be_active_in_turn(settings: WorkerSettings, number: int, paces: Paces, shared: Shared) -> None:
    """A worker that lives whenever as many are to work; each time it is a new one."""

    def told_to_stop() -> bool:
        return number >= shared.active.value

    while True:
        runner = WaitingRunner(settings, number, paces, told_to_stop)
        while told_to_stop():
            time.sleep(0.05)
        runner.heartbeat.start()
        runner.heartbeat.ready()
        _consume(runner, settings, told_to_stop, lambda: shared.ends.put((number, time.monotonic())))
        runner.heartbeat.stop()
        runner.store.close()


def _consume(
    runner: WaitingRunner, settings: WorkerSettings, told_to_stop: Callable[[], bool], ended: Callable[[], None]
) -> None:
    """Take messages until it is told to stop."""

    def on_message(message: Message) -> None:
        if told_to_stop():
            message.requeue()
            return
        try:
            runner.run(kind_of_task(message.headers["task"]), token=message.headers["id"])
        except SystemExit:
            message.requeue()
        else:
            message.ack()
            ended()

    with make_app(settings.redis_url).connection_for_read() as connection:
        queues = [Queue(name) for name in QUEUES]
        consumer = Consumer(connection, queues, on_message=on_message, accept=["json"], prefetch_count=1)
        with consumer:
            while not told_to_stop():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
