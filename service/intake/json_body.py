"""A body in JSON: its fields are those of a form, files in it are data URIs or addresses.

What is long in it are the data URIs. They are never parsed: they are cut out first, and decoded from where they lie.
"""

import codecs
import json
import mmap
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from jobs.motion_spaces import Spaces
from jobs.problems import ProblemType
from service.http.inputs import KeptPortrait
from service.http.problems import ProblemError, validation_error
from service.intake.data_uris import PREFIX
from service.intake.fields import FieldReader, unknown_field
from service.intake.forms import FRAMING_BYTES, FileField, FormField, Shape, TextField
from service.intake.weight import CHUNK, check_numbers, check_weight, chunks_of

ESCAPE = 6  # bytes of the longest
LONG = 1024  # bytes of a data URI from which on it is cut out
# What a value is called where it is not what was expected
NAMES = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "an object"}


def read_json(path: Path, reader: FieldReader, shape: Shape, spaces: Spaces) -> None:
    """Read the fields of a JSON object that lies in a file. Raises as FieldReader does."""
    if not path.stat().st_size:
        raise _unreadable("it is empty")
    check_weight(chunks_of(path), spaces, "the body", ProblemType.INVALID_REQUEST)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        data = _DataUris(body)
        texts = [limit for name, limit in reader.limits.items() if not isinstance(shape.fields[name], FileField)]
        text = data.rest(most=sum(texts) + FRAMING_BYTES)
        check_numbers((text[at : at + CHUNK] for at in range(0, len(text), CHUNK)), "the body", ProblemType.BAD_REQUEST)
        try:
            fields = from_json(text.removeprefix(codecs.BOM_UTF8))
        except ValueError as error:
            raise _unreadable(f"Invalid JSON: {error}") from error
        if not isinstance(fields, dict):
            raise _unreadable(f"it is {NAMES.get(type(fields), 'null')}; allowed is an object")
        for name, value in fields.items():
            _read(reader, shape, data, name, value)


def _read(reader: FieldReader, shape: Shape, data: "_DataUris", name: str, value: Any) -> None:
    allowed = [each for each in shape.fields if each not in shape.kept]
    if name not in allowed:
        raise unknown_field(name, allowed)
    expected = reader.begin(name, as_text=True)
    if isinstance(expected, FileField) and expected.kept_as is not None and isinstance(value, dict):
        try:
            kept = KeptPortrait.model_validate(value)
        except ValidationError as error:
            raise validation_error(ProblemType.INVALID_REQUEST, error, where=name, allowed=["id"]) from error
        reader.begin(expected.kept_as)
        reader.write(kept.id.encode())
    else:
        for chunk in _as_text(data, name, expected, value):
            reader.write(chunk)
    reader.end()


def _as_text(data: "_DataUris", name: str, expected: FormField, value: Any) -> Iterator[bytes]:
    if not isinstance(expected, FileField | TextField):
        yield to_json(value, inf_nan_mode="constants")
        return
    wanted: tuple[type, ...] = (str,)
    if isinstance(expected, TextField) and expected.schema["type"] != "string":
        wanted = (int, float)
    if not isinstance(value, wanted) or isinstance(value, bool):
        got = NAMES.get(type(value), "null")
        allowed = " or ".join(dict.fromkeys(NAMES[each] for each in wanted))
        raise ProblemError(
            ProblemType.INVALID_REQUEST, f"{name} is {got}; allowed is {allowed}", got=value, allowed=allowed
        )
    if isinstance(value, str):
        yield from data.chunks(value)
    else:
        yield to_json(value, inf_nan_mode="constants")


class _DataUris:
    """The long data URIs of a body, each of which has a short text in its place."""

    def __init__(self, body: mmap.mmap) -> None:
        self._body = body
        self._spans: dict[str, tuple[int, int]] = {}

    def rest(self, *, most: int) -> bytes:
        """The body without them, which may have so many bytes."""
        pieces, place, length = [], 0, len(self._body)
        mark = f"data:;{secrets.token_hex(8)};"
        for start, end in _strings(self._body):
            if end - start < LONG or self._body[start + 1 : start + 1 + len(PREFIX)].lower() != PREFIX:
                continue
            name = f"{mark}{len(self._spans)}"
            self._spans[name] = start + 1, end - 1
            pieces.append((place, start, f'"{name}"'.encode()))
            place, length = end, length - (end - start)
        if length > most:
            raise ProblemError(
                ProblemType.TOO_LARGE,
                f"the body has {length} bytes beside its files; allowed are {most}",
                got=length,
                allowed=most,
            )
        return b"".join(self._body[start:end] + name for start, end, name in pieces) + self._body[place:]

    def chunks(self, text: str) -> Iterator[bytes]:
        """A text of the parsed body as it was sent, bit by bit."""
        if text not in self._spans:
            yield text.encode()
            return
        start, end = self._spans[text]
        escaped = self._body.find(b"\\", start, end) >= 0  # some write a slash or a plus so
        while start < end:
            stop = min(start + CHUNK, end)
            if escaped and stop < end:  # no escape is cut in two
                last = self._body.rfind(b"\\", stop - ESCAPE, stop)
                stop = stop if last < 0 else last
            piece = self._body[start:stop]
            yield _unescaped(piece) if escaped else piece
            start = stop


def _strings(body: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Where texts begin and end, with their quotation marks.

    They are found by single bytes: other threads wait for what looks through a long text at once.
    """
    start = body.find(b'"')
    while start >= 0:
        end = body.find(b'"', start + 1)
        while end >= 0 and _backslashes(body, start, end) % 2:
            end = body.find(b'"', end + 1)
        if end < 0:
            return
        yield start, end + 1
        start = body.find(b'"', end + 1)


def _backslashes(body: mmap.mmap, start: int, end: int) -> int:
    """How many stand before `end`, one after the other, and after `start`."""
    count, size = 0, 64
    while piece := body[max(start + 1, end - count - size) : end - count]:
        run = len(piece) - len(piece.rstrip(b"\\"))
        count += run
        if run < len(piece):
            break
        size *= 8
    return count


def _unescaped(piece: bytes) -> bytes:
    try:
        text = json.loads(b'"' + piece + b'"')
        return bytes(text, "utf-8")
    except ValueError as error:
        raise _unreadable(f"Invalid JSON: {error}") from error


def _unreadable(why: str) -> ProblemError:
    return ProblemError(ProblemType.BAD_REQUEST, f"the body: {why}")
