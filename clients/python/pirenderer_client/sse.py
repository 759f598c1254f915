"""Server-sent events, as the HTML standard has them."""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple


class Message(NamedTuple):
    """One event: the id after which a stream resumes, its name and its data."""

    id: str
    name: str
    data: str


class EventParser:
    """Makes messages of a stream's bytes, however they are cut.

    `last_id` is the last id that came; `retry_s` the seconds to wait before the stream is opened anew, once it is told.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_s: float | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line = ""
        self._after_return = False  # a line feed that comes now is of the line before
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that end with these bytes."""
        text = self._decoder.decode(chunk)
        if not text:
            return
        if self._after_return:
            text = text.removeprefix("\n")
        self._after_return = text.endswith("\r")
        *lines, self._line = re.split("\r\n|\n|\r", self._line + text)
        for line in lines:
            if line:
                self._field(*line.split(":", 1))
                continue
            if self._data:
                yield Message(self.last_id, self._name or "message", "\n".join(self._data))
            self._name, self._data = "", []

    def _field(self, name: str, value: str = "") -> None:
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000
