"""Reads multipart/form-data as it streams in: files go into drafts, none past its limit, then into the store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from functools import partial

from anyio.to_thread import run_sync
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from jobs.files.artifacts import ArtifactTooLargeError
from jobs.image_headers import check_image
from jobs.media_types import IMAGE_TYPES
from jobs.problems import ProblemType
from jobs.schemas import InputFile
from service.context import Context
from service.http.problems import ProblemError
from service.intake.forms import DocumentField, Form, Shape
from service.intake.multipart import FormReader, Received

FRAMING_BYTES = 64 * 1024  # what boundaries and part headers may add to the fields


async def read_form(context: Context, request: Request, shape: Shape, job_id: str) -> Form:
    """Read the request's form into the folder of `job_id`, within the time and the sizes that are set.

    Raises ProblemError, ArtifactsAwayError; the caller then removes the folder.
    """
    timeout_s = context.settings.upload_timeout_s
    limits = {name: field.limit(context.settings) for name, field in shape.fields.items()}
    limit = sum(limits.values()) + FRAMING_BYTES
    boundary = _boundary(request)
    _check_declared(request, limit)
    reader = FormReader(shape.fields, limits, context.artifacts, job_id)
    with _problems(reader, timeout_s), closing(reader):
        parser = MultipartParser(boundary, reader.callbacks())
        async with asyncio.timeout(timeout_s):
            async for chunk in _bounded(request.stream(), limit):
                parser.write(chunk)
                while reader.received:
                    await _keep(context, reader.form, reader.received.pop(0))
        parser.finalize()
    if not reader.complete:
        raise ProblemError(ProblemType.BAD_REQUEST, "the form ends before its closing boundary")
    return reader.form


def _boundary(request: Request) -> bytes:
    """What stands between the parts. Raises ProblemError (415) for another content type."""
    content_type, parameters = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data" or b"boundary" not in parameters:
        got = request.headers.get("content-type", "none")
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"the request's Content-Type is {got}; it must be multipart/form-data with a boundary",
            got=got,
            allowed="multipart/form-data",
        )
    return parameters[b"boundary"]


def _check_declared(request: Request, limit: int) -> None:
    """Raise ProblemError (413) when the Content-Length is above the limit in bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise ProblemError(
            ProblemType.TOO_LARGE,
            f"the request has {declared} bytes; allowed are {limit}",
            got=int(declared),
            allowed=limit,
        )


@contextmanager
def _problems(reader: FormReader, timeout_s: float) -> Iterator[None]:
    """Make ProblemError of whatever may go wrong while a form is read."""
    try:
        yield
    except TimeoutError as error:
        raise ProblemError(
            ProblemType.TOO_SLOW,
            f"the form was not complete after {timeout_s:g} s",
            allowed=timeout_s,
            headers={"Connection": "close"},
        ) from error
    except ClientDisconnect as error:  # nobody reads this answer, but what was stored is removed
        raise ProblemError(ProblemType.BAD_REQUEST, "the client went away before the form was complete") from error
    except FormParserError as error:
        raise ProblemError(ProblemType.BAD_REQUEST, f"the form cannot be read: {error}") from error
    except ArtifactTooLargeError as error:
        raise ProblemError(
            ProblemType.TOO_LARGE,
            f"{reader.name} is larger than the {error.limit} bytes allowed",
            got=f"> {error.limit}",
            allowed=error.limit,
        ) from error
    except OSError as error:
        raise ProblemError(ProblemType.STORAGE_FULL, f"the upload cannot be stored: {error.strerror}") from error


async def _bounded(stream: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    received = 0
    async for chunk in stream:
        received += len(chunk)
        if received > limit:
            raise ProblemError(
                ProblemType.TOO_LARGE,
                f"the request is larger than the {limit} bytes allowed",
                got=f"> {limit}",
                allowed=limit,
            )
        yield chunk


async def _keep(context: Context, form: Form, file: Received) -> None:
    """Check a file and store it. Raises ProblemError, ArtifactsAwayError, OSError."""
    name, draft = file.name, file.draft
    with draft:
        if isinstance(file.field, DocumentField):
            assert file.field.check is not None  # noqa: S101 - without, a document stays a text
            check = partial(file.field.check, draft.path, context.catalogue.spaces)
            form.counts[name] = await run_sync(check, limiter=context.parsing)
        elif file.media_type in IMAGE_TYPES:
            measure = partial(check_image, max_pixels=context.settings.max_pixels)
            form.sizes[name] = await run_sync(measure, name, draft.path, file.media_type, limiter=context.measuring)
        stored = await run_in_threadpool(draft.commit)
    form.files[name] = InputFile(key=stored.key, media_type=file.media_type, bytes=stored.bytes, sha256=stored.sha256)
