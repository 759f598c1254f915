"""Reads multipart/form-data as it streams in: files go straight into the job's folder, none past its limit."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from service.jobs.artifacts import ArtifactStore, ArtifactTooLargeError, ArtifactWriter
from service.jobs.problems import ProblemType
from service.jobs.schemas import InputFile
from service.media import HEAD_BYTES, SUFFIXES, accept
from service.problems import ProblemError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 8
MAX_ID_BYTES = 128  # of a field that holds an id
FRAMING_BYTES = 64 * 1024  # what boundaries and part headers may add to the fields


@dataclass(frozen=True)
class FileField:
    """A file of at most `limit` bytes, recognised by its content as one of the media types `accepts`."""

    limit: int
    accepts: tuple[str, ...]


@dataclass(frozen=True)
class TextField:
    """UTF-8 text (JSON) of at most `limit` bytes."""

    limit: int


Fields = Mapping[str, FileField | TextField]


@dataclass
class Form:
    """What was sent."""

    files: dict[str, InputFile] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


async def read_form(
    request: Request, fields: Fields, artifacts: ArtifactStore, job_id: str, *, timeout_s: float
) -> Form:
    """Read the request's form into the folder of `job_id`, for `timeout_s` seconds at most.

    Raises ProblemError; the caller then removes the folder.
    """
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
    reader = _Reader(fields, artifacts, job_id)
    try:
        parser = MultipartParser(parameters[b"boundary"], reader.callbacks())
        async with asyncio.timeout(timeout_s):
            async for chunk in _bounded(request.stream(), limit):
                parser.write(chunk)
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


class _Reader:
    """The multipart parser's callbacks: collects one part after another."""

    def __init__(self, fields: Fields, artifacts: ArtifactStore, job_id: str) -> None:
        self.form = Form()
        self.name = ""
        self.complete = False
        self._fields = fields
        self._artifacts = artifacts
        self._job_id = job_id
        self._parts = 0
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._buffer = bytearray()  # a text, or the head of a file not yet recognised
        self._media_type = ""
        self._writer: ArtifactWriter | None = None

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
        """Drop a file that was not finished."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise ProblemError(ProblemType.BAD_REQUEST, f"the form has more than {MAX_PARTS} parts", allowed=MAX_PARTS)
        self._header = self._value = self._disposition = b""
        self._buffer.clear()
        self._writer = None

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
        if self.name not in self._fields:
            allowed = list(self._fields)
            raise ProblemError(
                ProblemType.INVALID_REQUEST,
                f"unknown form field {self.name!r}; allowed are {', '.join(allowed)}",
                got=self.name,
                allowed=allowed,
            )
        if self.name in self.form.files or self.name in self.form.texts:
            raise ProblemError(ProblemType.INVALID_REQUEST, f"form field {self.name!r} was sent twice", got=self.name)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        chunk = data[start:end]
        if self._writer is not None:
            self._writer.write(chunk)
            return
        self._buffer += chunk
        expected = self._fields[self.name]
        if isinstance(expected, FileField):
            if len(self._buffer) >= HEAD_BYTES:
                self._open(expected)
        elif len(self._buffer) > expected.limit:
            raise ArtifactTooLargeError(self.name, expected.limit)

    def _open(self, expected: FileField) -> None:
        self._media_type = accept(self.name, bytes(self._buffer[:HEAD_BYTES]), expected.accepts)
        file_name = f"{self.name}.{SUFFIXES[self._media_type]}"
        self._writer = self._artifacts.writer(self._job_id, file_name, limit=expected.limit)
        self._writer.write(bytes(self._buffer))
        self._buffer.clear()

    def _on_end(self) -> None:
        expected = self._fields[self.name]
        if isinstance(expected, TextField):
            try:
                self.form.texts[self.name] = self._buffer.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ProblemError(ProblemType.BAD_REQUEST, f"{self.name} is not UTF-8 text: {error.reason}") from error
            return
        if self._writer is None:
            self._open(expected)
        assert self._writer is not None  # noqa: S101 - opened above at the latest
        stored = self._writer.commit()
        self._writer = None
        self.form.files[self.name] = InputFile(
            key=stored.key, media_type=self._media_type, bytes=stored.bytes, sha256=stored.sha256
        )

    def _on_form_end(self) -> None:
        self.complete = True
