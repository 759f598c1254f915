"""/v1/jobs: list, read, follow, fetch, cancel, delete."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticKnownError

from jobs.files.keys import ID
from jobs.formats import RESULT_TYPES
from jobs.problems import ProblemType
from jobs.schemas import MAX_METADATA, METADATA_KEY, Job, JobKind, JobStatus
from jobs.store.events import HEARTBEAT_S
from jobs.store.lookups import Filters
from jobs.store.records import Event, JobRecord
from service.access.control import owned, require
from service.access.keys import KeyScope
from service.access.throttle import Caller, UnderwayError
from service.context import Context, ContextDep, ReaderDep, WriterDep
from service.http.addresses import page_links, public_job
from service.http.openapi import CREATE_RESPONSES, Responses, access_responses, job_response, problem_responses
from service.http.problems import ProblemError
from service.intake.admission import underway_bound_reached
from service.intake.headers import PREFER_PARAMETER
from service.intake.reruns import run_again
from service.intake.submissions import answer
from service.routes.answers import NO_JOB, file_responses, not_finished, require_no_other_end, send_artifact

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

# Digits are counted so that what they spell fits into 64 bits, which is all that Redis takes
EVENT_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
PAIR = rf"^{METADATA_KEY}:(?s:.){{0,512}}$"
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _dated(text: str) -> str:
    # pydantic also takes numbers, small ones as seconds since 1970 and large ones as milliseconds
    if not DATE.match(text):
        raise PydanticKnownError("datetime_type")
    return text


Time = Annotated[AwareDatetime, BeforeValidator(_dated)]


class JobPage(BaseModel):
    """Some of the caller's jobs, newest first; `next_cursor` asks for the ones before."""

    jobs: list[Job]
    next_cursor: str | None


async def _find_job(job_id: str, context: Context, caller: Caller) -> JobRecord:
    record = await context.scripts.do(context.store.getting(job_id)) if ID.fullmatch(job_id) else None
    return owned(record, "job", job_id, caller)


async def readable_job(job_id: str, context: ContextDep, caller: ReaderDep) -> JobRecord:
    """The caller's job, to look at."""
    return await _find_job(job_id, context, caller)


async def writable_job(job_id: str, context: ContextDep, caller: WriterDep) -> JobRecord:
    """The caller's job, to change."""
    return await _find_job(job_id, context, caller)


JobDep = Annotated[JobRecord, Depends(readable_job)]
OwnJobDep = Annotated[JobRecord, Depends(writable_job)]


def wanted_jobs(
    status: Annotated[list[JobStatus] | None, Query(description="In one of these states")] = None,
    kind: Annotated[list[JobKind] | None, Query(description="Of one of these kinds")] = None,
    created_after: Annotated[Time | None, Query(description="Made at this time or later")] = None,
    created_before: Annotated[Time | None, Query(description="Made before this time")] = None,
    metadata: Annotated[
        list[Annotated[str, Field(pattern=PAIR)]] | None,
        Query(max_length=MAX_METADATA, description="With this metadata: KEY:VALUE, as order:17; all of them"),
    ] = None,
) -> Filters:
    """Which jobs a list is to have. Raises ProblemError (422) for a key with two values, which no job has."""
    pairs: dict[str, str] = {}
    for name, value in (pair.split(":", 1) for pair in metadata or ()):
        if pairs.setdefault(name, value) != value:
            detail = f"metadata has the key {name!r} with {pairs[name]!r} and with {value!r}; allowed is one of them"
            raise ProblemError(ProblemType.INVALID_REQUEST, detail, got=metadata)
    return Filters(
        status=status,
        kind=kind,
        since=created_after.timestamp() if created_after else None,
        till=created_before.timestamp() if created_before else None,
        metadata=pairs or None,
    )


@router.get("", responses=access_responses(s400="Not a cursor of ours"))
def list_jobs(
    request: Request,
    response: Response,
    context: ContextDep,
    caller: ReaderDep,
    filters: Annotated[Filters, Depends(wanted_jobs)],
    *,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> JobPage:
    """The caller's jobs, newest first, without their input.

    Of very many jobs a page may hold few that are wanted, or none: only where `next_cursor` is null is it the last.
    """
    owner, cursors, base = caller.owner, context.cursors, context.base_url(request)
    records, before = context.store.lookups.page(owner, filters, limit=limit, before=cursors.open(owner, cursor))
    next_cursor = cursors.seal(owner, before)
    response.headers["Link"] = page_links(request, base, next_cursor)
    return JobPage(jobs=[public_job(record, base) for record in records], next_cursor=next_cursor)


@router.get("/{job_id}", responses=NO_JOB)
async def read_job(request: Request, record: JobDep, context: ContextDep) -> Job:
    """One job as it is now."""
    return public_job(record, context.base_url(request))


async def follower(record: JobDep, context: ContextDep) -> AsyncIterator[None]:
    """Counts one who follows a job, for as long as they do. Raises ProblemError (429, 503) when it is one too many."""
    try:
        with context.followers.one(record.owner):
            yield
    except UnderwayError as error:
        raise underway_bound_reached(context, error, "streams of events") from error


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=NO_JOB, dependencies=[Depends(follower)])
async def follow_job(
    request: Request,
    record: JobDep,
    context: ContextDep,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events `status`, `progress` and `segment` until the job ends; Last-Event-ID resumes after an event.

    `segment` says how many of a video's segments can be played. A stream ends with its key, too.
    """
    after = last_event_id if last_event_id and EVENT_ID.fullmatch(last_event_id) else "0"
    if record.expired_event is not None and record.expired_event.id != after:
        yield _sent(record.expired_event)
        return
    patience_s = 0.05 if record.status.finished else HEARTBEAT_S  # nothing more is to come of a finished job
    async for event in context.events.follow(record.id, after=after, heartbeat_s=patience_s):
        if not _may_follow(request, context, record):
            return
        if event is not None:
            yield _sent(event)
        elif record.status.finished:
            return


def _sent(event: Event) -> ServerSentEvent:
    return ServerSentEvent(id=event.id, event=event.event, raw_data=event.data, retry=2000)


def _may_follow(request: Request, context: Context, record: JobRecord) -> bool:
    """Whether the key that a stream was opened with still lets its job be seen."""
    try:
        caller = context.access.caller(request)
        require(caller, KeyScope.READ)
    except (ProblemError, OSError, ValueError):  # the latter are a file of keys that cannot be read
        return False
    return caller.owner == record.owner


RESULT_RESPONSES = file_responses("result", RESULT_TYPES)


@router.head("/{job_id}/result", name="head_result", response_class=FileResponse, responses=RESULT_RESPONSES)
@router.get("/{job_id}/result", response_class=FileResponse, responses=RESULT_RESPONSES)
def fetch_result(request: Request, record: JobDep, context: ContextDep) -> Response:
    """The file that a job made; for a failed job, the problem it ended with."""
    require_no_other_end(record)
    if record.result is None or record.result_key is None:
        raise not_finished(record, "its result comes when it has succeeded")
    return send_artifact(
        request,
        context,
        record.result_key,
        media_type=record.result.media_type,
        filename=f"{record.id}{Path(record.result_key).suffix}",
        etag=f'"{record.result.sha256}"',
        size=record.result.bytes,
    )


@router.post("/{job_id}/cancel", responses={**NO_JOB, **problem_responses(s409="The job has already finished")})
def cancel_job(request: Request, record: OwnJobDep, context: ContextDep) -> Job:
    """Cancel a job: at once while it is queued, at the next batch while it runs."""
    try:
        ended = context.store.request_cancel(record.id)
    except KeyError:
        raise ProblemError(ProblemType.NOT_FOUND, f"there is no job {record.id!r}", got=record.id) from None
    if ended not in (None, JobStatus.CANCELED):
        raise ProblemError(
            ProblemType.JOB_FINISHED,
            f"job {record.id} has {ended.value} and cannot be canceled",
            got=ended.value,
            allowed=[JobStatus.QUEUED.value, JobStatus.RUNNING.value],
        )
    return public_job(context.store.get(record.id) or record, context.base_url(request))


RERUN_RESPONSES: Responses = {
    200: CREATE_RESPONSES[200],
    202: job_response("The new job, queued", "job-queued"),
    **access_responses(s404="No such job", s409="The job has not finished", s410="Expired"),
    **{status: CREATE_RESPONSES[status] for status in (503, 507)},
}


@router.post(
    "/{job_id}/rerun",
    status_code=202,
    response_model=Job,
    responses=RERUN_RESPONSES,
    openapi_extra={"parameters": [PREFER_PARAMETER]},
)
async def rerun_job(request: Request, record: OwnJobDep, context: ContextDep, caller: WriterDep) -> JSONResponse:
    """Make a new job of one that has ended, with the same input: it makes the same again, to the byte."""
    rerun = await run_again(context, record, caller, context.base_url(request))
    return await answer(context, request, caller, rerun)


@router.delete("/{job_id}", status_code=204, responses=NO_JOB)
def delete_job(record: OwnJobDep, context: ContextDep) -> None:
    """Stop the job if it runs and remove it with all its files."""
    context.store.delete(record.id)
    context.artifacts.delete_folder(record.id)
