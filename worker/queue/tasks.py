"""The tasks, one for each kind of job and one for live sessions, and what Celery must be told around them."""

import contextlib
import functools
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import structlog
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import shared_task
from celery.signals import (
    setup_logging,
    task_failure,
    worker_process_init,
    worker_process_shutdown,
    worker_shutting_down,
)
from redis import RedisError

from jobs.logs import configure_logging
from jobs.machine import worker
from jobs.messages import LIVE_TASK, TASK_TIME_LIMIT_S, kind_of_task, task_name
from jobs.problems import Problem, ProblemType
from jobs.schemas import JobKind
from jobs.store.claims import MAX_DELIVERIES
from jobs.store.jobs import JobStore
from jobs.tracing import start_tracing, stop_tracing
from model.errors import ModelError
from worker.queue.pool import end_soon
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.queue.runner import Runner

log = structlog.get_logger(__name__)

RETRY_DELAY_S = 1  # before a job whose process died is sent again, and before a Redis that is away is asked again


@functools.cache
def process_runner() -> "Runner":
    """The one runner of a child process, made in it: neither models nor sockets can be handed to a spawned process."""
    from worker.queue.runner import Runner  # noqa: PLC0415 - the parent stays small without torch

    return Runner(WorkerSettings())


def run_job(task: Any, token: str) -> None:
    """Work on a job of the task's kind: whose turn it is, which need not be the one whose message this was.

    Nothing is returned and nothing of the job is raised: its state is in the job store.
    """
    try:
        process_runner().run(kind_of_task(task.name), token=token)
    except RedisError as error:  # what waits gets another message, and what was begun when its lease has lapsed
        log.warning("redis does not answer", error=str(error))


def host_session(_: Any, session_id: str) -> None:
    """Hold a live session, unless another does."""
    process_runner().host(session_id)


def load_models(**_: Any) -> None:
    """Load before the first job comes. Where weights are missing the worker runs, and its jobs say so."""
    from worker.decoding import start_forkserver  # noqa: PLC0415 - nor does the parent need what decodes

    end_soon()
    start_forkserver()  # it loads beside the models
    start_tracing("pirenderer-worker")
    runner = process_runner()
    runner.heartbeat.start()
    try:
        runner.models.load_all()
    except ModelError as error:
        log.warning("a model is missing", error=str(error))
    runner.heartbeat.ready()


def leave(**_: Any) -> None:
    """Say that this child ends."""
    process_runner().heartbeat.stop()
    stop_tracing()


def abandon(task_id: str, exception: BaseException, **_: Any) -> None:
    """In the parent: end a job whose process could not, having been killed once too often or for taking too long."""
    if isinstance(exception, TimeLimitExceeded):
        problem, least = Problem.of(ProblemType.TIMED_OUT, f"stopped after {TASK_TIME_LIMIT_S} seconds"), 0
    elif isinstance(exception, WorkerLostError):
        problem = Problem.of(ProblemType.WORKER_LOST, "given up: each attempt ended its worker process")
        least = MAX_DELIVERIES
    else:
        return
    with contextlib.closing(JobStore.connect(WorkerSettings().redis_url)) as store:
        if turn := store.turns.turn_of_token(task_id):
            store.claims.abandon(turn.job_id, problem, part=turn.part or "", least=least)


def leave_sessions(**_: Any) -> None:
    """In the parent, which was told to stop: its child is to leave a live session, which would not end by itself.

    Redis is told by another thread: this is called while a signal is handled.
    """

    def tell() -> None:
        with contextlib.closing(JobStore.connect(WorkerSettings().redis_url)) as store:
            while True:
                try:
                    return store.live.stop(worker(os.getpid()))
                except RedisError:  # a session outlasts its absence, so it has to be told later
                    time.sleep(RETRY_DELAY_S)

    threading.Thread(target=tell, name="leave-sessions", daemon=True).start()


def use_our_logging(**_: Any) -> None:
    """Keep Celery from installing its own handlers, in the parent and in every child."""
    configure_logging(WorkerSettings().log_level)


for kind in JobKind:
    shared_task(name=task_name(kind), bind=True, default_retry_delay=RETRY_DELAY_S)(run_job)
shared_task(name=LIVE_TASK, bind=True, default_retry_delay=RETRY_DELAY_S)(host_session)
worker_process_init.connect(load_models)
worker_process_shutdown.connect(leave)
task_failure.connect(abandon)
worker_shutting_down.connect(leave_sessions)
setup_logging.connect(use_our_logging)
