"""A body in JSON: its fields are those of a form, files in it are data URIs or addresses.

What is long in it are the data URIs. They are never parsed, nor held: where they lie is found as the body comes in,
they are cut out of it before it is parsed, and they are decoded from the file that it lies in, bit by bit.
"""

import codecs
import json
import re
import secrets
from collections.abc import Iterator
from typing import Any, BinaryIO

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from jobs.motion_spaces import Spaces
from jobs.problems import ProblemType
from service.http.inputs import KeptPortrait
from service.http.problems import ProblemError, validation_error
from service.intake.data_uris import PREFIX
from service.intake.fields import FieldReader, unknown_field
from service.intake.forms import FileField, FormField, Shape, TextField
from service.intake.weight import CHUNK, Weight, check_numbers

ESCAPE = 6  # bytes of the longest
LONG = 1024  # bytes of a data URI from which on it is cut out
# What a value is called where it is not what was expected
NAMES = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "an object"}


class JsonBody:
    """A body that lies in `file`, and is looked through while it comes in. Each step takes little of memory, but for
    `read`. All raise ProblemError, and what FieldReader does."""

    def __init__(self, reader: FieldReader, shape: Shape, spaces: Spaces) -> None:
        self._reader = reader
        self._shape = shape
        self._weight = Weight(spaces, "the body", ProblemType.INVALID_REQUEST)
        self._uris = _DataUris(most=reader.most_text)

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes."""
        self._weight.add(chunk)
        self._uris.feed(chunk)

    def read(self, file: BinaryIO) -> dict[str, Iterator[bytes]]:
        """Read the fields; the files that are long data URIs are left, by their names: bit by bit, as they were sent.

        It takes memory, but leaves nothing of that behind.
        """
        text = self._uris.rest(file)
        if not text:
            raise _unreadable("it is empty")
        check_numbers((text[at : at + CHUNK] for at in range(0, len(text), CHUNK)), "the body", ProblemType.BAD_REQUEST)
        try:
            fields = from_json(text)
        except ValueError as error:
            raise _unreadable(f"Invalid JSON: {error}") from error
        del text
        if not isinstance(fields, dict):
            raise _unreadable(f"it is {NAMES.get(type(fields), 'null')}; allowed is an object")
        left = {}
        while fields:  # what is read is held no longer
            name = next(iter(fields))
            expected, value = self._expected(name), fields.pop(name)
            if isinstance(expected, FileField) and isinstance(value, str) and value in self._uris:
                left[name] = self._uris.chunks(value)
            else:
                self._read(name, expected, value)
        return left

    def _expected(self, name: str) -> FormField:
        allowed = [each for each in self._shape.fields if each not in self._shape.kept]
        if name in self._shape.kept:
            detail = f'{name} is a field of forms; in JSON the file\'s own field may be {{"id": …}}'
            raise ProblemError(ProblemType.INVALID_REQUEST, detail, got=name, allowed=allowed)
        if name not in allowed:
            raise unknown_field(next(self._uris.chunks(name), b"").decode(errors="replace"), allowed)
        return self._shape.fields[name]

    def _read(self, name: str, expected: FormField, value: Any) -> None:
        reader = self._reader
        reader.begin(name, as_text=True)
        if isinstance(expected, FileField) and expected.kept_as is not None and isinstance(value, dict):
            try:
                kept = KeptPortrait.model_validate(value)
            except ValidationError as error:
                raise validation_error(ProblemType.INVALID_REQUEST, error, where=name, allowed=["id"]) from error
            reader.begin(expected.kept_as)
            value = kept.id
        for chunk in self._as_text(name, expected, value):
            reader.write(chunk)
        reader.end()

    def _as_text(self, name: str, expected: FormField, value: Any) -> Iterator[bytes]:
        if not isinstance(expected, FileField | TextField):
            return self._uris.put_back(to_json(value, inf_nan_mode="constants"))
        wanted: tuple[type, ...] = (str,)
        if isinstance(expected, TextField) and expected.schema["type"] != "string":
            wanted = (int, float)
        if not isinstance(value, wanted) or isinstance(value, bool):
            got = NAMES.get(type(value), "null")
            allowed = " or ".join(dict.fromkeys(NAMES[each] for each in wanted))
            raise ProblemError(
                ProblemType.INVALID_REQUEST, f"{name} is {got}; allowed is {allowed}", got=value, allowed=allowed
            )
        return self._uris.chunks(value) if isinstance(value, str) else iter([to_json(value, inf_nan_mode="constants")])


class _DataUris:
    """The long data URIs of a body, each of which has a short text in its place."""

    def __init__(self, *, most: int) -> None:
        self._most = most  # bytes beside them
        self._mark = f"data:;{secrets.token_hex(8)};"
        self._places = re.compile(rb"%b(\d+)(?=\")" % self._mark.encode())
        self._spans: list[tuple[int, int]] = []  # between their quotation marks
        self._seen = self._cut = 0  # bytes
        self._start = -1  # of the text that has not ended yet
        self._head = b""  # of that text
        self._odd = False  # whether what was seen ends in an odd number of backslashes
        self._file: BinaryIO

    def __contains__(self, text: str) -> bool:
        """Whether a text of the parsed body stands for one."""
        return text.startswith(self._mark)

    def feed(self, chunk: bytes) -> None:
        """Look for texts, which are between quotation marks. Raises ProblemError: too much is beside the URIs."""
        self._head += chunk[: max(0, len(PREFIX) - len(self._head))]
        place = chunk.find(b'"')
        while place >= 0:
            if self._start < 0:
                self._start, self._head = self._seen + place + 1, chunk[place + 1 : place + 1 + len(PREFIX)]
            elif not _odd_backslashes(chunk, place, before=self._odd):
                self._end(self._seen + place)
            place = chunk.find(b'"', place + 1)
        self._odd = _odd_backslashes(chunk, len(chunk), before=self._odd)
        self._seen += len(chunk)
        self._check(self._seen - self._start if self._start >= 0 and self._head.lower() == PREFIX else 0)

    def rest(self, file: BinaryIO) -> bytearray:
        """The body without them. Raises ProblemError."""
        self._check(0)
        self._file = file
        text, place = bytearray(), 0
        for number, (start, end) in enumerate(self._spans):
            text += self._bytes(place, start) + f"{self._mark}{number}".encode()
            place = end
        text += self._bytes(place, self._seen)
        if text.startswith(codecs.BOM_UTF8):
            del text[: len(codecs.BOM_UTF8)]
        return text

    def chunks(self, text: str) -> Iterator[bytes]:
        """A text of the parsed body as it was sent, bit by bit."""
        if text not in self:
            for at in range(0, len(text), CHUNK):
                yield text[at : at + CHUNK].encode()
            return
        start, end = self._spans[int(text.removeprefix(self._mark))]
        while start < end:
            piece = self._bytes(start, min(start + CHUNK, end))
            if b"\\" in piece:  # some write a slash or a plus so
                last = piece.rfind(b"\\", -ESCAPE) if start + len(piece) < end else -1  # no escape is cut in two
                piece = piece if last < 0 else piece[:last]
                yield _unescaped(piece)
            else:
                yield piece
            start += len(piece)

    def put_back(self, document: bytes) -> Iterator[bytes]:
        """A document with those that stood in it, bit by bit."""
        place = 0
        for found in self._places.finditer(document):
            yield document[place : found.start()]
            start, end = self._spans[int(found[1])]
            for at in range(start, end, CHUNK):
                yield self._bytes(at, min(at + CHUNK, end))
            place = found.end()
        for at in range(place, len(document), CHUNK):
            yield document[at : at + CHUNK]

    def _end(self, end: int) -> None:
        if end - self._start >= LONG and self._head.lower() == PREFIX:
            self._spans.append((self._start, end))
            self._cut += end - self._start
        self._start = -1

    def _check(self, pending: int) -> None:
        if self._seen - self._cut - pending > self._most:
            raise ProblemError(
                ProblemType.TOO_LARGE,
                f"the body has more bytes beside its files than the {self._most} allowed",
                got=f"> {self._most}",
                allowed=self._most,
            )

    def _bytes(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)


def _odd_backslashes(chunk: bytes, end: int, *, before: bool) -> bool:
    """Whether an odd number of them stands before `end`; `before`: whether one stands before the chunk."""
    place, size = end, 64
    while place:
        piece = chunk[max(0, place - size) : place]
        others = len(piece.rstrip(b"\\"))
        place -= len(piece) - others
        if others:
            return (end - place) % 2 == 1
        size *= 8
    return (end % 2 == 1) != before


def _unescaped(piece: bytes) -> bytes:
    try:
        text = json.loads(f'"{piece.decode()}"')
        return bytes(text, "utf-8")
    except ValueError as error:
        raise _unreadable(f"Invalid JSON: {error}") from error


def _unreadable(why: str) -> ProblemError:
    return ProblemError(ProblemType.BAD_REQUEST, f"the body: {why}")
