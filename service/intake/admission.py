"""Whether something is taken: the bounds of the queue, each owner's share of it, and each key's quota; what an owner
keeps; and how much is under way at once."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import redis
import structlog

from jobs import tracing
from jobs.messages import job_message
from jobs.problems import ProblemType
from jobs.schemas import ImageSpec, JobKind, JobSpec
from jobs.seeds import with_seed
from jobs.store.creation import (
    Allowance,
    NoRoomError,
    OwnerBoundError,
    QueueFullError,
    ReservedError,
    Retention,
    ShareUsedError,
    Terms,
)
from jobs.store.records import JobRecord
from service.access.throttle import OPEN_OWNER, Caller, UnderwayError, charged
from service.context import Context
from service.http.middleware import current_request_id
from service.http.problems import ProblemError
from service.stores.portraits import TooManyPortraitsError

log = structlog.get_logger(__name__)

# With these it is not known whether a job was made: its folder stays, and is swept if it was not
UNCERTAIN = (redis.ConnectionError, redis.TimeoutError, asyncio.CancelledError)
RESERVED_PART = 5  # of the queue, one place of so many is for owners of whom no job waits
NO_ROOM: dict[type[NoRoomError], ProblemType] = {
    QueueFullError: ProblemType.QUEUE_FULL,
    ReservedError: ProblemType.QUEUE_FULL,
    ShareUsedError: ProblemType.TOO_MANY_REQUESTS,
    TooManyPortraitsError: ProblemType.TOO_MANY_REQUESTS,
    OwnerBoundError: ProblemType.STORAGE_USED,
}


async def check_room(context: Context, caller: Caller, kind: JobKind) -> None:
    """Ask whether a job would be taken, before its upload is read; making it asks again. Raises ProblemError."""
    with charged(caller) as note, bounded(context):
        room = await context.scripts.do(context.store.creation.asking(kind, caller.owner, caller.job_charges()))
        note(room.standings)
        allowance(context, caller).check(kind, room)


@contextmanager
def bounded(context: Context) -> Iterator[None]:
    """Answer that there is no room where the `with` block finds so. Raises ProblemError (429, 503, 507)."""
    try:
        yield
    except NoRoomError as error:
        problem_type = NO_ROOM[type(error)]
        raise bound_reached(context, problem_type, str(error), got=error.got, allowed=error.allowed) from error


async def queue_job(context: Context, job_id: str, spec: JobSpec, caller: Caller, terms: Terms) -> JobRecord:
    """Make a job of a specification whose files are in its folder, and send its message.

    Raises ProblemError (429, 503, 507) and redis.RedisError: then there is no job, but for what is UNCERTAIN.
    """
    settings = context.settings
    motions = spec.motion_count if isinstance(spec, ImageSpec) else None
    call = context.store.creation.creating(
        job_id,
        with_seed(spec, job_id),
        owner=caller.owner,
        terms=replace(terms, request_id=current_request_id(), traceparent=tracing.current_traceparent()),
        allowance=allowance(context, caller),
        retention=Retention(settings.retention_s, min(settings.canceled_retention_s, settings.retention_s)),
        charges=caller.job_charges(1 if motions is None else motions),
        message=job_message(job_id, JobKind(spec.kind)),
    )
    with charged(caller) as note, bounded(context):
        created = await context.scripts.do(call)
        note(created.standings)
    tracing.annotate({"pirenderer.job.id": job_id, "pirenderer.job.kind": spec.kind.value})
    log.info("job queued", job_id=job_id, kind=spec.kind.value, owner=caller.owner)
    context.metrics.submitted.labels(spec.kind.value).inc()
    return created.record


@contextmanager
def form_under_way(context: Context, caller: Caller) -> Iterator[None]:
    """Count a form for as long as it is read. Raises ProblemError (429, 503) when it is one too many."""
    try:
        with context.forms.one(caller.owner):
            yield
    except UnderwayError as error:
        raise underway_bound_reached(context, error, "forms") from error


def underway_bound_reached(context: Context, error: UnderwayError, what: str) -> ProblemError:
    """The refusal of one too many at once, which does not leave the connection idle either."""
    problem_type, detail = ProblemType.UNAVAILABLE, f"{error.most} {what} are under way, which is all there may be"
    if error.own:
        problem_type = ProblemType.TOO_MANY_REQUESTS
        detail = f"{error.most} {what} of this key's owner are under way, which is all one owner may have"
    close = {"Connection": "close"}
    return bound_reached(context, problem_type, detail, got=error.most, allowed=error.most, headers=close)


def allowance(context: Context, caller: Caller) -> Allowance:
    """What may wait for a caller's owner, and be kept. Without keys everyone is one owner, who has the whole queue."""
    settings = context.settings
    alone = caller.owner == OPEN_OWNER
    return Allowance(
        queue=settings.queue_limit,
        share=None if alone else settings.queue_share,
        reserved=0 if alone else settings.queue_limit // RESERVED_PART,
        file_bytes=settings.max_stored_bytes,
        record_bytes=settings.max_record_bytes,
    )


def bound_reached(
    context: Context,
    problem_type: ProblemType,
    detail: str,
    *,
    got: int,
    allowed: int,
    headers: Mapping[str, str] | None = None,
) -> ProblemError:
    """The refusal of one too many, which may be sent again later."""
    headers = {"Retry-After": str(context.settings.retry_after_s), **(headers or {})}
    return ProblemError(problem_type, detail, got=got, allowed=allowed, headers=headers)
