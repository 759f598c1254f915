"""The tasks, one for each kind of job, and what Celery must be told around them."""

import functools
from typing import Any

import structlog
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import shared_task
from celery.signals import setup_logging, task_failure, worker_process_init

from model.errors import ModelError
from service.jobs.problems import Problem, ProblemType
from service.jobs.queues import TASK_TIME_LIMIT_S, TASKS
from service.jobs.schemas import JobKind
from worker.logs import configure_logging
from worker.runner import Runner
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

RETRY_DELAY_S = 1  # before a job whose process died is sent again


@functools.cache
def process_runner() -> Runner:
    """The one runner of this process, made in it: neither models nor sockets can be handed to a spawned process."""
    return Runner(WorkerSettings())


def run_job(job_id: str) -> None:
    """Work on a job. Nothing is returned and nothing of the job is raised: its state is in the job store."""
    process_runner().run(job_id)


def load_models(**_: Any) -> None:
    """Load before the first job comes. Where weights are missing the worker runs, and its jobs say so."""
    try:
        process_runner().models.load_all()
    except ModelError as error:
        log.warning("a model is missing", error=str(error))


def abandon(task_id: str, exception: BaseException, **_: Any) -> None:
    """In the parent: end a job whose process could not, having been killed once too often or for taking too long."""
    store = process_runner().store
    if isinstance(exception, TimeLimitExceeded):
        store.abandon(task_id, Problem.of(ProblemType.TIMED_OUT, f"stopped after {TASK_TIME_LIMIT_S} seconds"))
    elif isinstance(exception, WorkerLostError):
        store.abandon(task_id, Problem.of(ProblemType.WORKER_LOST, "given up: each attempt ended its worker process"))


def use_our_logging(**_: Any) -> None:
    """Keep Celery from installing its own handlers, in the parent and in every child."""
    configure_logging()


for kind in JobKind:
    shared_task(name=TASKS[kind], default_retry_delay=RETRY_DELAY_S)(run_job)
worker_process_init.connect(load_models)
task_failure.connect(abandon)
setup_logging.connect(use_our_logging)
