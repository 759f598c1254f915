"""Reads the body of a create call as it streams in, in any of its three forms.

Files go into drafts, none past its limit, then into the store.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from urllib.parse import parse_qsl

from anyio.to_thread import run_sync
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from jobs.files.artifacts import ArtifactTooLargeError
from jobs.image_headers import check_image
from jobs.media_types import IMAGE_TYPES
from jobs.problems import ProblemType
from jobs.schemas import InputFile
from service.context import Context
from service.http.problems import ProblemError
from service.intake.bodies import arriving, bounded
from service.intake.fields import FieldReader, Received
from service.intake.forms import FRAMING_BYTES, JSON, MULTIPART, URLENCODED, DocumentField, FileField, Form, Shape
from service.intake.json_body import JsonBody
from service.intake.multipart import MAX_PARTS, PartReader

URLENCODED_BYTES = 1 << 20  # which are held as a whole


async def read_form(context: Context, request: Request, shape: Shape, job_id: str) -> Form:
    """Read the request's body into the folder of `job_id`, within the time and the sizes that are set.

    Raises ProblemError, ArtifactsAwayError; the caller then removes the folder.
    """
    content_type, parameters = parse_options_header(request.headers.get("content-type"))
    reader = FieldReader(context, shape, job_id)
    with _problems(reader, context.settings.upload_timeout_s), closing(reader):
        async with asyncio.timeout(context.settings.upload_timeout_s):
            match content_type.decode(errors="replace"):
                case "multipart/form-data" if b"boundary" in parameters:
                    await _read_multipart(context, request, reader, parameters[b"boundary"])
                case "application/x-www-form-urlencoded":
                    await _read_urlencoded(request, reader)
                case "application/json":
                    await _read_json(context, request, shape, reader, job_id)
                case _:
                    raise _unsupported(request)
        await _keep_received(context, reader)
    return reader.form


async def take_file(context: Context, reader: FieldReader, name: str, chunks: AsyncIterator[bytes]) -> None:
    """Take a file that does not come with the request as if it had. Raises ProblemError, ArtifactsAwayError."""
    with _problems(reader, context.settings.upload_timeout_s):
        reader.begin(name, as_bytes=True)
        async for chunk in chunks:
            reader.write(chunk)
        reader.end()
        await _keep_received(context, reader)


async def _read_multipart(context: Context, request: Request, reader: FieldReader, boundary: bytes) -> None:
    parts = PartReader(reader)
    parser = MultipartParser(boundary, parts.callbacks())
    async for chunk in bounded(request, sum(reader.limits.values()) + FRAMING_BYTES):
        parser.write(chunk)
        await _keep_received(context, reader)
    parser.finalize()
    if not parts.complete:
        raise ProblemError(ProblemType.BAD_REQUEST, "the form ends before its closing boundary")


async def _read_urlencoded(request: Request, reader: FieldReader) -> None:
    limit = min(sum(reader.limits.values()) + FRAMING_BYTES, URLENCODED_BYTES)
    text = b"".join([chunk async for chunk in bounded(request, limit)])
    try:
        fields = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MAX_PARTS
        )
    except ValueError as error:
        raise ProblemError(ProblemType.BAD_REQUEST, f"the form cannot be read: {error}") from error
    for name, value in fields:
        reader.begin(name, as_text=bool(value))
        reader.write(value.encode())
        reader.end()


async def _read_json(context: Context, request: Request, shape: Shape, reader: FieldReader, job_id: str) -> None:
    files = (reader.limits[name] for name, field in shape.fields.items() if isinstance(field, FileField))
    # base64 has a third more, and some escape its slashes
    limit = reader.most_text + sum(each * 11 // 8 for each in files)
    found = JsonBody(reader, shape, context.catalogue.spaces)
    body = context.artifacts.draft(job_id, "body.json", limit=limit)
    try:
        body.write(b"")
        async for chunk in bounded(request, limit):
            found.feed(chunk)
            body.write(chunk)
        body.close()
        with body.path.open("rb") as file:
            left = await run_sync(found.read, file, limiter=context.parsing)
            for name, pieces in left.items():
                reader.begin(name, as_text=True)
                # each has its turn after a piece: no small body waits for a large one
                while await run_sync(_write_next, reader, pieces, limiter=context.parsing):
                    pass
                reader.end()
    finally:
        await run_in_threadpool(body.discard)  # a disk takes its time to forget a large file


def _write_next(reader: FieldReader, pieces: Iterator[bytes]) -> bool:
    """Write the next piece of a field, if there is another."""
    piece = next(pieces, None)
    if piece is not None:
        reader.write(piece)
    return piece is not None


async def _keep_received(context: Context, reader: FieldReader) -> None:
    while reader.received:
        await _keep(context, reader.form, reader.received.pop(0))


def _unsupported(request: Request) -> ProblemError:
    got = request.headers.get("content-type", "none")
    allowed = [JSON, MULTIPART, URLENCODED]
    return ProblemError(
        ProblemType.UNSUPPORTED_MEDIA,
        f"the request's Content-Type is {got}; it must be {JSON}, {MULTIPART} with a boundary, or {URLENCODED}",
        got=got,
        allowed=allowed,
    )


@contextmanager
def _problems(reader: FieldReader, timeout_s: float) -> Iterator[None]:
    """Make ProblemError of whatever may go wrong while a form is read."""
    try:
        with arriving(timeout_s):
            yield
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


async def _keep(context: Context, form: Form, file: Received) -> None:
    """Check a file and store it. Raises ProblemError, ArtifactsAwayError, OSError."""
    name, draft = file.name, file.draft
    with draft:
        if isinstance(file.field, DocumentField):
            assert file.field.check is not None  # noqa: S101 - without, a document stays a text
            check = partial(file.field.check, draft.path, context.catalogue.spaces)
            form.found[name] = await run_sync(check, limiter=context.parsing)
        elif file.media_type in IMAGE_TYPES:
            measure = partial(check_image, max_pixels=context.settings.max_pixels)
            form.sizes[name] = await run_sync(measure, name, draft.path, file.media_type, limiter=context.measuring)
        stored = await run_in_threadpool(draft.commit)
    form.files[name] = InputFile(key=stored.key, media_type=file.media_type, bytes=stored.bytes, sha256=stored.sha256)
