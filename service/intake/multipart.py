"""The parts of multipart/form-data as they stream in: texts are kept, files and long documents go into drafts."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header

from jobs.files.artifacts import ArtifactStore, ArtifactTooLargeError, Draft
from jobs.media_types import HEAD_BYTES, SUFFIXES
from jobs.problems import ProblemType
from service.http.problems import ProblemError
from service.intake.filetypes import accept
from service.intake.forms import DocumentField, FileField, Form, FormField, TextField

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 8
INLINE_BYTES = 16 * 1024  # a larger document is a file: neither this process nor Redis shall hold many of them


@dataclass(frozen=True)
class Received:
    """A file that has come whole."""

    name: str
    field: FileField | DocumentField
    media_type: str
    draft: Draft


class FormReader:
    """Collects one part after another into `form`. It waits for nothing; `received` has to be stored by whoever can.

    `limits` are the bytes that each of the `fields` may have. What a callback raises comes out of the parser's `write`:
    ProblemError, ArtifactTooLargeError, OSError.
    """

    def __init__(
        self, fields: Mapping[str, FormField], limits: Mapping[str, int], artifacts: ArtifactStore, job_id: str
    ) -> None:
        self.form = Form()
        self.name = ""
        self.complete = False
        self.received: list[Received] = []
        self._names: set[str] = set()
        self._fields = fields
        self._limits = limits
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
        """What the parser is to call."""
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
        elif len(self._buffer) > self._limits[self.name]:
            raise ArtifactTooLargeError(self.name, self._limits[self.name])
        elif isinstance(expected, DocumentField) and expected.check and len(self._buffer) > INLINE_BYTES:
            self._open("application/json", "json")

    def _open_recognised(self, expected: FileField) -> None:
        media_type = accept(self.name, bytes(self._buffer[:HEAD_BYTES]), expected.accepts)
        self._open(media_type, SUFFIXES[media_type])

    def _open(self, media_type: str, suffix: str) -> None:
        self._media_type = media_type
        self._draft = self._artifacts.draft(self._job_id, f"{self.name}.{suffix}", limit=self._limits[self.name])
        self._draft.write(bytes(self._buffer))
        self._buffer.clear()

    def _on_end(self) -> None:
        expected = self._fields[self.name]
        if isinstance(expected, FileField) and self._draft is None and (self._buffer or self._named):
            self._open_recognised(expected)
        if self._draft is not None:
            assert not isinstance(expected, TextField)  # noqa: S101 - which have no drafts
            self._draft.close()
            self.received.append(Received(self.name, expected, self._media_type, self._draft))
            self._draft = None
        elif self._buffer:
            try:
                self.form.texts[self.name] = self._buffer.removeprefix(codecs.BOM_UTF8).decode("utf-8")
            except UnicodeDecodeError as error:
                raise ProblemError(ProblemType.BAD_REQUEST, f"{self.name} is not UTF-8 text: {error.reason}") from error

    def _on_form_end(self) -> None:
        self.complete = True
