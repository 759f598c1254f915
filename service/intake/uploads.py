"""Reads multipart/form-data as it streams in: files go into drafts, none past its limit, then into the store."""

import asyncio
import codecs
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from jobs.files.artifacts import ArtifactStore, ArtifactTooLargeError, Draft
from jobs.media_types import HEAD_BYTES, IMAGE_TYPES, SUFFIXES
from jobs.problems import ProblemType
from jobs.schemas import InputFile
from service.http.problems import ProblemError
from service.intake.filetypes import accept, check_image

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

    from service.context import Context

MAX_PARTS = 8
MAX_ID_BYTES = 128  # of a field that holds an id
FRAMING_BYTES = 64 * 1024  # what boundaries and part headers may add to the fields
INLINE_BYTES = 16 * 1024  # a larger document is a file: neither this process nor Redis shall hold many of them


@dataclass(frozen=True)
class FileField:
    """A file of at most `limit` bytes, recognised by its content as one of the media types `accepts`."""

    limit: int
    accepts: tuple[str, ...]


@dataclass(frozen=True)
class TextField:
    """UTF-8 text (JSON) of at most `limit` bytes."""

    limit: int


@dataclass(frozen=True)
class DocumentField:
    """The same, where texts above INLINE_BYTES become files once `check` has taken them.

    `check` says how many items the document has; it raises ProblemError.
    """

    limit: int
    check: Callable[[Path], int]


Fields = Mapping[str, FileField | TextField | DocumentField]


@dataclass
class Form:
    """What was sent: large documents among the `files`, how many items each has in `counts`.

    `sizes` are width and height of those files that are images. A part without a byte is a field not sent, unless it
    is a file that has a name.
    """

    files: dict[str, InputFile] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


async def read_form(context: "Context", request: Request, fields: Fields, job_id: str) -> Form:
    """Read the request's form into the folder of `job_id`, within the time and the sizes that are set.

    Raises ProblemError, ArtifactsAwayError; the caller then removes the folder.
    """
    timeout_s = context.settings.upload_timeout_s
    content_type, parameters = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data" or b"boundary" not in parameters:
        got = request.headers.get("content-type", "none")
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"the request's Content-Type is {got}; it must be multipart/form-data with a boundary",
            got=got,
            allowed="multipart/form-data",
        )
    limit = sum(each.limit for each in fields.values()) + FRAMING_BYTES
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise ProblemError(
            ProblemType.TOO_LARGE,
            f"the request has {declared} bytes; allowed are {limit}",
            got=int(declared),
            allowed=limit,
        )
    reader = _Reader(fields, context.artifacts, job_id)
    try:
        parser = MultipartParser(parameters[b"boundary"], reader.callbacks())
        async with asyncio.timeout(timeout_s):
            async for chunk in _bounded(request.stream(), limit):
                parser.write(chunk)
                while reader.received:
                    await _keep(context, reader.form, reader.received.pop(0))
        parser.finalize()
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
        name = reader.name
        raise ProblemError(
            ProblemType.TOO_LARGE,
            f"{name} is larger than the {error.limit} bytes allowed",
            got=f"> {error.limit}",
            allowed=error.limit,
        ) from error
    except OSError as error:
        raise ProblemError(ProblemType.STORAGE_FULL, f"the upload cannot be stored: {error.strerror}") from error
    finally:
        reader.close()
    if not reader.complete:
        raise ProblemError(ProblemType.BAD_REQUEST, "the form ends before its closing boundary")
    return reader.form


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


@dataclass(frozen=True)
class _Received:
    """A file that has come whole."""

    name: str
    field: FileField | DocumentField
    media_type: str
    draft: Draft


async def _keep(context: "Context", form: Form, file: _Received) -> None:
    """Check a file and store it. Raises ProblemError, ArtifactsAwayError, OSError."""
    name, draft = file.name, file.draft
    with draft:
        if isinstance(file.field, DocumentField):
            form.counts[name] = await run_sync(file.field.check, draft.path, limiter=context.parsing)
        elif file.media_type in IMAGE_TYPES:
            check = partial(check_image, max_pixels=context.settings.max_pixels)
            form.sizes[name] = await run_sync(check, name, draft.path, file.media_type, limiter=context.measuring)
        stored = await run_in_threadpool(draft.commit)
    form.files[name] = InputFile(key=stored.key, media_type=file.media_type, bytes=stored.bytes, sha256=stored.sha256)


class _Reader:
    """The multipart parser's callbacks: collects one part after another. It waits for nothing; `received` has to be
    stored by whoever can."""

    def __init__(self, fields: Fields, artifacts: ArtifactStore, job_id: str) -> None:
        self.form = Form()
        self.name = ""
        self.complete = False
        self.received: list[_Received] = []
        self._names: set[str] = set()
        self._fields = fields
        self._artifacts = artifacts
        self._job_id = job_id
        self._parts = 0
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._buffer = bytearray()  # a text, or the head of a file not yet recognised
        self._named = False  # the part has the name of a file
        self._media_type = ""
        self._draft: Draft | None = None

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._on_end,
            "on_end": self._on_form_end,
        }

    def close(self) -> None:
        """Drop what was not stored."""
        for draft in (self._draft, *(file.draft for file in self.received)):
            if draft is not None:
                draft.discard()

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise ProblemError(ProblemType.BAD_REQUEST, f"the form has more than {MAX_PARTS} parts", allowed=MAX_PARTS)
        self._header = self._value = self._disposition = b""
        self._buffer.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        self.name = parameters.get(b"name", b"").decode("utf-8", "replace")
        self._named = bool(parameters.get(b"filename"))
        if self.name not in self._fields:
            allowed = list(self._fields)
            raise ProblemError(
                ProblemType.INVALID_REQUEST,
                f"unknown form field {self.name!r}; allowed are {', '.join(allowed)}",
                got=self.name,
                allowed=allowed,
            )
        if self.name in self._names:
            raise ProblemError(ProblemType.INVALID_REQUEST, f"form field {self.name!r} was sent twice", got=self.name)
        self._names.add(self.name)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        chunk = data[start:end]
        if self._draft is not None:
            self._draft.write(chunk)
            return
        self._buffer += chunk
        expected = self._fields[self.name]
        if isinstance(expected, FileField):
            if len(self._buffer) >= HEAD_BYTES:
                self._open_recognised(expected)
        elif len(self._buffer) > expected.limit:
            raise ArtifactTooLargeError(self.name, expected.limit)
        elif isinstance(expected, DocumentField) and len(self._buffer) > INLINE_BYTES:
            self._open("application/json", "json", expected.limit)

    def _open_recognised(self, expected: FileField) -> None:
        media_type = accept(self.name, bytes(self._buffer[:HEAD_BYTES]), expected.accepts)
        self._open(media_type, SUFFIXES[media_type], expected.limit)

    def _open(self, media_type: str, suffix: str, limit: int) -> None:
        self._media_type = media_type
        self._draft = self._artifacts.draft(self._job_id, f"{self.name}.{suffix}", limit=limit)
        self._draft.write(bytes(self._buffer))
        self._buffer.clear()

    def _on_end(self) -> None:
        expected = self._fields[self.name]
        if isinstance(expected, FileField) and self._draft is None and (self._buffer or self._named):
            self._open_recognised(expected)
        if self._draft is not None:
            assert not isinstance(expected, TextField)  # noqa: S101 - which have no drafts
            self._draft.close()
            self.received.append(_Received(self.name, expected, self._media_type, self._draft))
            self._draft = None
        elif self._buffer:
            try:
                self.form.texts[self.name] = self._buffer.removeprefix(codecs.BOM_UTF8).decode("utf-8")
            except UnicodeDecodeError as error:
                raise ProblemError(ProblemType.BAD_REQUEST, f"{self.name} is not UTF-8 text: {error.reason}") from error

    def _on_form_end(self) -> None:
        self.complete = True
