"""Whether a job is taken: the bounds of the queue, each owner's share of it, and each key's quota."""

from dataclasses import dataclass

import structlog
from kombu.exceptions import OperationalError

from service.context import Context
from service.jobs.problems import ProblemType
from service.jobs.queues import send
from service.jobs.records import JobRecord
from service.jobs.schemas import ImageSpec, JobKind, MotionSpec, VideoSpec, Webhook
from service.jobs.store import QueueFullError, ShareUsedError
from service.problems import ProblemError
from service.requests import current_request_id
from service.security import OPEN_OWNER
from service.throttle import Caller

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Notes:
    """What goes with a job and is not the worker's concern."""

    webhook: Webhook | None = None
    deadline_s: float | None = None


def check_room(context: Context, caller: Caller, kind: JobKind) -> None:
    """Ask whether a job would be taken, before its upload is read; making it asks again. Raises ProblemError."""
    waiting, own = context.store.waiting(kind, caller.owner)
    if waiting >= context.settings.queue_limit:
        raise _queue_full(context, kind)
    share = _share(context, caller)
    if share is not None and own >= share:
        raise _share_used(context, kind)
    context.throttle.check_jobs(caller)


def queue_job(
    context: Context, job_id: str, spec: ImageSpec | VideoSpec | MotionSpec, caller: Caller, notes: Notes
) -> JobRecord:
    """Make a job of a specification whose files are in its folder, and send its message.

    Raises ProblemError (429, 503) and what a Redis that is away leads to.
    """
    settings = context.settings
    images = spec.motions if isinstance(spec, ImageSpec) else None
    context.throttle.jobs(caller, cost=len(images or "1"))
    try:
        record = context.store.create(
            job_id,
            spec,
            owner=caller.owner,
            retention_s=settings.retention_s,
            queue_limit=settings.queue_limit,
            share=_share(context, caller),
            webhook=notes.webhook,
            deadline_s=notes.deadline_s,
            request_id=current_request_id(),
        )
    except QueueFullError as error:
        raise _queue_full(context, spec.kind) from error
    except ShareUsedError as error:
        raise _share_used(context, spec.kind) from error
    try:
        send(context.celery, job_id, spec.kind)
    except OperationalError:
        context.store.delete(job_id)
        raise
    log.info("job queued", job_id=job_id, kind=spec.kind.value, owner=caller.owner)
    context.metrics.submitted.labels(spec.kind.value).inc()
    return record


def _share(context: Context, caller: Caller) -> int | None:
    """How many jobs of a kind may wait for one owner; without keys everyone is one owner and has the whole queue."""
    return None if caller.owner == OPEN_OWNER else context.settings.queue_share


def _share_used(context: Context, kind: JobKind) -> ProblemError:
    share = context.settings.queue_share
    detail = f"{share} {kind.value} jobs of this key's owner are waiting, which is all one owner may have"
    return bound_reached(context, ProblemType.TOO_MANY_REQUESTS, detail, got=share, allowed=share)


def _queue_full(context: Context, kind: JobKind) -> ProblemError:
    limit = context.settings.queue_limit
    detail = f"{limit} {kind.value} jobs are waiting, which is all the queue holds"
    return bound_reached(context, ProblemType.QUEUE_FULL, detail, got=limit, allowed=limit)


def bound_reached(context: Context, kind: ProblemType, detail: str, *, got: int, allowed: int) -> ProblemError:
    """The refusal of one too many, which may be sent again later."""
    headers = {"Retry-After": str(context.settings.retry_after_s)}
    return ProblemError(kind, detail, got=got, allowed=allowed, headers=headers)
