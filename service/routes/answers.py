"""How a job's files are sent: all of one, a range of it, or where it is; and what is answered in its stead."""

import re
from collections.abc import Iterable
from pathlib import Path

from fastapi import Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from jobs.files.artifacts import ArtifactMissingError, SignedUrl
from jobs.problems import ProblemType
from jobs.schemas import InputFile, JobStatus
from jobs.store.records import JobRecord
from service.context import Context
from service.http.openapi import REFERENCE, Json, Responses, access_responses, problem_responses
from service.http.problems import JobFailedError, ProblemError
from service.http.validators import ASK_AGAIN, is_known

BYTE_RANGE = r"([0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})"
BYTE_RANGES = re.compile(rf"bytes={BYTE_RANGE}(\s*,\s*{BYTE_RANGE})*")
NO_JOB = access_responses(s404="No such job")
NO_RESULT = problem_responses(
    s409="Not finished, canceled or not begun by its deadline",
    s410="Expired",
    s413="The failed job's problem",
    s415="The failed job's problem",
    s422="The failed job's problem",
    s500="The failed job's problem",
    s507="The failed job's problem",
)


OF_JOB: Responses = {**NO_JOB, **NO_RESULT}


def file_responses(what: str, media_types: Iterable[str], *, besides: Responses = OF_JOB) -> Responses:
    """What a call may answer that sends a file, and what `besides`: by default what a file of a job may need."""
    motion = {"application/json": {"$ref": REFERENCE.format(model="Motion")}}
    binary = {"type": "string", "format": "binary"}
    # The first tells generators, which read the first that they know, that whatever comes is a file
    named = ["application/octet-stream", *media_types]
    content: Json = {media_type: {"schema": motion.get(media_type, binary)} for media_type in named}
    return {
        **besides,
        200: {"description": f"The {what}", "content": content},
        206: {"description": "The range asked for", "content": content},
        304: {"description": f"The {what} has not changed"},
        307: {"description": f"The {what} is elsewhere for a short time; send no key there"},
        **problem_responses(s416=f"Range outside the {what}"),
    }


def require_no_other_end(record: JobRecord) -> None:
    """Raise JobFailedError or ProblemError (409, 410) when a job has ended, but not with success."""
    if record.status is JobStatus.FAILED and record.error is not None:
        raise JobFailedError(record.error)
    if record.status is JobStatus.EXPIRED:
        raise ProblemError(ProblemType.JOB_EXPIRED, f"job {record.id} expired at {record.expires_at}")
    if record.status is JobStatus.CANCELED:
        raise ProblemError(ProblemType.JOB_CANCELED, f"job {record.id} was canceled and has no result")


def not_finished(record: JobRecord, what: str) -> ProblemError:
    """The refusal of what a job does not have yet."""
    return ProblemError(
        ProblemType.JOB_NOT_FINISHED,
        f"job {record.id} is {record.status.value}; {what}",
        got=record.status.value,
        allowed=JobStatus.SUCCEEDED.value,
        headers={"Retry-After": "1"},
    )


def send_artifact(
    request: Request,
    context: Context,
    key: str,
    *,
    media_type: str,
    filename: str,
    etag: str,
    size: int | None = None,
    gone: ProblemType = ProblemType.JOB_EXPIRED,
) -> Response:
    """An artifact's bytes, or the range of them asked for, or where they are, or that it has not changed (304).

    A range of a file elsewhere is checked here where its `size` is told, else there. Raises ProblemError: `gone`, 416.
    """
    headers = {"ETag": etag, **ASK_AGAIN}
    if is_known(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    try:
        place = context.artifacts.locate(key, method=request.method, media_type=media_type, filename=filename)
        if size is None and isinstance(place, Path):
            size = place.stat().st_size
    except (ArtifactMissingError, FileNotFoundError) as error:
        raise ProblemError(gone, f"{filename} is gone") from error
    if size is not None:
        _check_range(request, size)
    if isinstance(place, SignedUrl):
        return RedirectResponse(place.url, headers={"Cache-Control": "no-store"})
    return FileResponse(
        place, media_type=media_type, headers=headers, filename=filename, content_disposition_type="inline"
    )


def send_input(
    request: Request, context: Context, file: InputFile, *, name: str, gone: ProblemType = ProblemType.JOB_EXPIRED
) -> Response:
    """The same of a file that was sent, called `name` and its own suffix."""
    return send_artifact(
        request,
        context,
        file.key,
        media_type=file.media_type,
        filename=f"{name}{Path(file.key).suffix}",
        etag=f'"{file.sha256}"',
        size=file.bytes,
        gone=gone,
    )


def _check_range(request: Request, size: int) -> None:
    """Refuse a range outside the file; drop a malformed Range header, which RFC 9110 (14.2) lets a server ignore."""
    header = request.headers.get("range")
    if header is None:
        return
    parts = header.removeprefix("bytes=").split(",") if BYTE_RANGES.fullmatch(header) else []
    ranges = [part.strip().split("-") for part in parts]
    if not ranges or any(first and last and int(last) < int(first) for first, last in ranges):
        # Taken off the request itself, since FileResponse reads the header there, and answers 400 to a malformed one
        request.scope["headers"] = [item for item in request.scope["headers"] if item[0] != b"range"]
        return
    if any(int(first) >= size if first else int(last) == 0 for first, last in ranges):
        raise ProblemError(
            ProblemType.RANGE_NOT_SATISFIABLE,
            f"Range is {header}; the file has {size} bytes",
            got=header,
            allowed=size,
            headers={"Content-Range": f"bytes */{size}"},
        )
