"""Whether something is taken: the bounds of the queue, each owner's share of it, and each key's quota; what an owner
keeps; and how much is under way at once."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import redis
import structlog

from jobs import tracing
from jobs.messages import job_message
from jobs.problems import ProblemType
from jobs.schemas import ImageSpec, JobKind, JobSpec
from jobs.seeds import with_seed
from jobs.store.creation import OwnerBoundError, QueueFullError, Remembered, ReservedError, ShareUsedError
from jobs.store.records import JobRecord
from jobs.webhooks import Webhook
from service.access.throttle import OPEN_OWNER, Caller, UnderwayError, counted
from service.context import Context
from service.http.middleware import current_request_id
from service.http.problems import ProblemError

log = structlog.get_logger(__name__)

# With these it is not known whether a job was made: its folder stays, and is swept if it was not
UNCERTAIN = (redis.ConnectionError, redis.TimeoutError, asyncio.CancelledError)
RESERVED_PART = 5  # of the queue, one place of so many is for owners of whom no job waits


@dataclass(frozen=True)
class Terms:
    """What goes with a job and is not the worker's concern."""

    webhook: Webhook | None = None
    deadline_s: float | None = None
    metadata: Mapping[str, str] | None = None
    base_url: str | None = None
    remembered: Remembered | None = None


async def check_room(context: Context, caller: Caller, kind: JobKind) -> None:
    """Ask whether a job would be taken, before its upload is read; making it asks again. Raises ProblemError."""
    with counted(caller) as note:
        room = await context.scripts.do(context.store.creation.asking(kind, caller.owner, caller.job_counts()))
        note(room.standings)
    if room.waiting >= context.settings.queue_limit:
        raise _queue_full(context, kind)
    share, reserved = _share(context, caller)
    if room.own >= share:
        raise _share_used(context, kind)
    if room.own and room.waiting >= context.settings.queue_limit - reserved:
        raise _only_reserved(context, kind)
    check_kept(context, room.kept)


def check_kept(context: Context, kept: Mapping[str, int]) -> None:
    """Whether an owner who keeps so much may keep more at all, before an upload is read. Raises ProblemError (507)."""
    for what, most in _kept_bounds(context).items():
        if kept[what] >= most:
            raise owner_bound_reached(context, what, kept[what])


async def queue_job(context: Context, job_id: str, spec: JobSpec, caller: Caller, terms: Terms) -> JobRecord:
    """Make a job of a specification whose files are in its folder, and send its message.

    Raises ProblemError (429, 503, 507) and redis.RedisError: then there is no job, but for what is UNCERTAIN.
    """
    settings = context.settings
    motions = spec.motion_count if isinstance(spec, ImageSpec) else None
    share, reserved = _share(context, caller)
    bounds = _kept_bounds(context)
    try:
        call = context.store.creation.creating(
            job_id,
            with_seed(spec, job_id),
            owner=caller.owner,
            retention_s=settings.retention_s,
            canceled_retention_s=min(settings.canceled_retention_s, settings.retention_s),
            queue_limit=settings.queue_limit,
            share=share,
            reserved=reserved,
            max_file_bytes=bounds["files"],
            max_record_bytes=bounds["records"],
            webhook=terms.webhook,
            deadline_s=terms.deadline_s,
            request_id=current_request_id(),
            traceparent=tracing.current_traceparent(),
            metadata=terms.metadata,
            base_url=terms.base_url,
            counts=caller.job_counts(1 if motions is None else motions),
            message=job_message(job_id, JobKind(spec.kind)),
            remembered=terms.remembered,
        )
        with counted(caller) as note:
            created = await context.scripts.do(call)
            note(created.standings)
    except QueueFullError as error:
        raise _queue_full(context, spec.kind) from error
    except ShareUsedError as error:
        raise _share_used(context, spec.kind) from error
    except ReservedError as error:
        raise _only_reserved(context, spec.kind) from error
    except OwnerBoundError as error:
        raise owner_bound_reached(context, error.what, error.kept) from error
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


def owner_bound_reached(context: Context, what: str, kept: int) -> ProblemError:
    """The refusal of what an owner would keep, who keeps so much: `what` is "files" or "records"."""
    most = _kept_bounds(context)[what]
    detail = (
        f"{kept} bytes of {what} are kept for this owner, and no more than {most} may be; "
        "delete jobs or portraits, or wait until they expire"
    )
    return bound_reached(context, ProblemType.STORAGE_USED, detail, got=kept, allowed=most)


def _kept_bounds(context: Context) -> dict[str, int]:
    return {"files": context.settings.max_stored_bytes, "records": context.settings.max_record_bytes}


def _share(context: Context, caller: Caller) -> tuple[int, int]:
    """How many jobs of a kind may wait for one owner, and how many places are kept for those of whom none waits.

    Without keys everyone is one owner and has the whole queue.
    """
    settings = context.settings
    if caller.owner == OPEN_OWNER:
        return settings.queue_limit, 0
    return settings.queue_share, _reserved(context)


def _reserved(context: Context) -> int:
    return context.settings.queue_limit // RESERVED_PART


def _share_used(context: Context, kind: JobKind) -> ProblemError:
    share = context.settings.queue_share
    detail = f"{share} {kind.value} jobs of this key's owner are waiting, which is all one owner may have"
    return bound_reached(context, ProblemType.TOO_MANY_REQUESTS, detail, got=share, allowed=share)


def _only_reserved(context: Context, kind: JobKind) -> ProblemError:
    free = _reserved(context)
    detail = f"the last {free} places of the queue are for owners of whom no {kind.value} job waits"
    return bound_reached(context, ProblemType.QUEUE_FULL, detail, got=free, allowed=free)


def _queue_full(context: Context, kind: JobKind) -> ProblemError:
    limit = context.settings.queue_limit
    detail = f"{limit} {kind.value} jobs are waiting, which is all the queue holds"
    return bound_reached(context, ProblemType.QUEUE_FULL, detail, got=limit, allowed=limit)


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
