"""A body in JSON as it comes in, wherever it is cut in two."""

import io
import json
import random
from typing import Any

import pytest

from jobs.motion_spaces import Spaces
from jobs.problems import ProblemError
from service.intake.forms import FRAMING_BYTES, FileField, Shape, TextField
from service.intake.json_body import JsonBody

SHAPE = Shape(
    "Thing", {"file": FileField(lambda _: 1 << 30, (), ""), "text": TextField(lambda _: 100_000, {"type": "string"})}
)
SPACES: Spaces = {}


class Fields:
    """Takes fields as FieldReader does, and keeps them."""

    def __init__(self) -> None:
        self.most_text = 100_000 + FRAMING_BYTES
        self.got: dict[str, bytes] = {}
        self._name = ""

    def begin(self, name: str, **_: Any) -> None:
        self._name = name
        self.got[name] = b""

    def write(self, data: bytes) -> None:
        self.got[self._name] += data

    def end(self) -> None:
        pass


def read(text: bytes, sizes: list[int]) -> dict[str, bytes]:
    """The fields of a body that comes in pieces of these sizes, again and again."""
    fields = Fields()
    body = JsonBody(fields, SHAPE, SPACES)  # type: ignore[arg-type]
    place = number = 0
    while place < len(text):
        size = sizes[number % len(sizes)]
        body.feed(text[place : place + size])
        place, number = place + size, number + 1
    for name, pieces in body.read(io.BytesIO(text)).items():
        fields.begin(name)
        for piece in pieces:
            fields.write(piece)
    return fields.got


LONG = "A" * 1500
TEXTS = {
    "plain": f'"data:;base64,{LONG}"',
    "in capitals": f'"DATA:;base64,{LONG}"',
    "slashes": f'"data:;base64,{LONG}' + "\\/" * 700 + '"',
    "quotation marks": '"data:' + 'a\\"' * 700 + '"',
    "backslashes": '"data:' + "\\\\" * 700 + '"',
    "backslashes before a quotation mark": '"data:' + ("\\\\" * 300 + '\\"') * 3 + '"',
    "unicode": '"data:' + "\\u00e9\\ud83d\\ude00é😀" * 100 + '"',
    "a data URI in it": f'"x\\"data:{LONG}\\""',
    "its beginning is escaped": f'"\\u0064ata:{LONG}"',
    "short": '"data:;base64,AAAA"',
    "long, but none": f'"{LONG}"',
    "empty": '""',
}  # fmt: skip


@pytest.mark.parametrize("sizes", [[1], [2, 3], [7], [100], [1000, 1], [1 << 20]], ids=str)
@pytest.mark.parametrize("name", TEXTS)
def test_a_body_is_read_wherever_it_is_cut(name: str, sizes: list[int]) -> None:
    for text in (f'{{"file":{TEXTS[name]},"text":"\\\\"}}', f' {{ "text" : {TEXTS[name]} , "file":"\\\\\\\\" }}\n'):
        expected = {key: value.encode() for key, value in json.loads(text).items()}
        assert read(text.encode(), sizes) == expected
        assert read(b"\xef\xbb\xbf" + text.encode(), sizes) == expected


@pytest.mark.parametrize("before", range(12))
def test_no_escape_is_cut_in_two(before: int) -> None:
    text = '"data:;base64,' + "A" * ((1 << 20) - 20 + before) + "\\u0041\\/" * 200_000 + '"'
    assert read(f'{{"file":{text}}}'.encode(), [65_536]) == {"file": json.loads(text).encode()}


def test_what_is_no_json_is_refused_however_it_is_cut() -> None:
    chance = random.Random(0)
    for _ in range(300):
        text = bytearray(('{"file":' + chance.choice(list(TEXTS.values())) + ',"text":"a"}').encode())
        for _ in range(chance.randint(1, 3)):
            text[chance.randrange(len(text))] = chance.choice(b'"\\{}:,\0\xff')
        found = []
        for sizes in ([1 << 20], [chance.randint(1, 50)]):
            try:
                found.append(str(read(bytes(text), sizes)))
            except ProblemError as error:
                found.append(error.problem.detail)
        assert found[0] == found[1]


@pytest.mark.parametrize("body", ['{{"text":"{}"}}', '{{"file":1,{}', '"data:{}', '{{"text":"\\{}"}}'])
def test_what_is_too_much_is_refused_when_it_comes(body: str) -> None:
    most = 100_000 + FRAMING_BYTES
    found = JsonBody(Fields(), SHAPE, SPACES)  # type: ignore[arg-type]
    begun, end = body.format("|").split("|")
    found.feed(begun.encode())
    with pytest.raises(ProblemError, match="more bytes beside its files than the 165536 allowed"):  # noqa: PT012
        for _ in range(most // 1000 + 1):
            found.feed(b" " * 1000)
        found.feed(end.encode())
        found.read(io.BytesIO())
