"""The parts of multipart/form-data as they stream in."""

from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header

from jobs.problems import ProblemType
from service.http.problems import ProblemError
from service.intake.fields import FieldReader

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 16


class PartReader:
    """Gives each part to a reader of fields. What a callback raises comes out of the parser's `write`."""

    def __init__(self, fields: FieldReader) -> None:
        self.complete = False
        self._fields = fields
        self._parts = 0
        self._header = b""
        self._value = b""
        self._disposition = b""

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser is to call."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers,
            "on_part_data": lambda data, start, end: self._fields.write(data[start:end]),
            "on_part_end": self._fields.end,
            "on_end": self._on_form_end,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise ProblemError(ProblemType.BAD_REQUEST, f"the form has more than {MAX_PARTS} parts", allowed=MAX_PARTS)
        self._header = self._value = self._disposition = b""

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
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        self._fields.begin(name, as_bytes=bool(parameters.get(b"filename")))

    def _on_form_end(self) -> None:
        self.complete = True
