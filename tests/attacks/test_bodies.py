"""The largest bodies in JSON, good and bad: they take little memory, and nobody else waits for them."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.attacks.conftest import MIB, Api
from tests.service.conftest import photo
from tests.service.routes.test_create import MP4, WAV
from tests.support.processes import PATIENCE_S

pytestmark = [pytest.mark.slow, pytest.mark.alone]

FILES = {"portrait": (photo(), 20 * MIB), "audio": (WAV, 50 * MIB), "driving": (MP4, 200 * MIB)}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    api = Api(folder)
    try:
        api.serve()
        yield api
    finally:
        api.stop()


def plain(data: bytes) -> bytes:
    return base64.b64encode(data)


def slashes(data: bytes) -> bytes:
    """As some write it: one of 64 characters has a backslash before it."""
    return base64.b64encode(data).replace(b"A" * 63, b"A" * 61 + b"\\/")


def all_escaped(data: bytes) -> bytes:
    """Every character has six bytes, so the file is smaller."""
    return b"".join(b"\\u%04x" % character for character in base64.b64encode(data[: len(data) // 6]))


def body(written: Callable[[bytes], bytes], *names: str) -> bytes:
    files = {name: FILES[name] for name in names or FILES}
    fields = {name: written(data + bytes(size - len(data))) for name, (data, size) in files.items()}
    return b"{" + b",".join(b'"%s":"data:;base64,%s"' % (name.encode(), text) for name, text in fields.items()) + b"}"


def send(client: httpx.Client, content: bytes) -> httpx.Response:
    """In pieces: httpx copies what is left of one with each that it sends, and `/healthz` is asked from here, too."""
    pieces = (content[at : at + 65_536] for at in range(0, len(content), 65_536))
    return client.post("/v1/videos", content=pieces, headers={**JSON, "content-length": str(len(content))})


@pytest.mark.parametrize("written", [plain, slashes, all_escaped])
def test_the_largest_files_are_taken_cheaply(api: Api, written: Callable[[bytes], bytes]) -> None:
    content = body(written)
    with api.as_owner("alice") as client, api.watched() as burden:
        response = send(client, content)
        assert response.status_code == 202, response.text
        client.delete(response.json()["urls"]["self"])
    burden.check(mib=64)


SIZE = 100 * MIB
TEXT = 16 * MIB
BAD: dict[str, Callable[[], bytes]] = {
    "backslashes": lambda: b'{"portrait":"data:' + b"\\" * SIZE + b'"}',
    "backslashes and quotation marks": lambda: b'{"portrait":"data:' + (b"\\" * (MIB + 1) + b'"') * 100 + b'"}',
    "no base64": lambda: b'{"portrait":"data:;base64,' + b"=" * SIZE + b'"}',
    "a long type": lambda: b'{"portrait":"data:' + b"a" * SIZE + b'"}',
    "many": lambda: b'{"portrait":[' + b",".join([b'"data:%s"' % (b"a" * 4000)] * 25_000) + b"]}",
    "a name": lambda: b'{"data:' + b"a" * SIZE + b'":1}',
    "in other fields": lambda: b'{"metadata":{"a":"data:' + b"a" * SIZE + b'"}}',
    "white space": lambda: b'{"portrait":' + b" " * SIZE + b"1}",
    "a long address": lambda: b'{"portrait":"https:' + b"a" * TEXT + b'"}',
    "a long text": lambda: b'{"text":"' + b"a" * TEXT + b'"}',
    "a long motion": lambda: b'{"motion":"' + b"a" * TEXT + b'"}',
    "long numbers": lambda: b'{"motion":[' + b",".join([b"1" * 511] * (TEXT // 512 - 10)) + b"]}",
    "numbers": lambda: b'{"motion":[' + b",".join([b"1.5"] * 500_000) + b"]}",
    "texts": lambda: b'{"motion":[' + b",".join([b'""'] * 66_000) + b"]}",
    "escapes": lambda: b'{"motion":"' + b"\\u0041" * (TEXT // 6) + b'"}',
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_body_is_refused_cheaply(api: Api, kind: str) -> None:
    content = BAD[kind]()
    with api.as_owner("alice") as client, api.watched() as burden:
        response = send(client, content)
    assert response.status_code in (400, 413, 415, 422), response.text
    assert len(response.content) < 4000
    assert list(api.artifacts.glob("??/*")) == []
    burden.check(mib=64)


def test_large_bodies_keep_no_small_one_waiting(api: Api) -> None:
    """Not until they are decoded; those of one owner all come to be so at the same moment."""
    large, count = body(plain, "portrait", "audio"), 4
    small = b'{"portrait":"data:;base64,%s","motion":{"controls":{}}}' % plain(photo())
    nearly, go = threading.Barrier(count + 1), threading.Event()
    answers: list[int] = []

    def bits() -> Iterator[bytes]:
        yield from (large[at : at + 65_536] for at in range(0, len(large) - 1, 65_536))
        nearly.wait(PATIENCE_S)
        go.wait(PATIENCE_S)
        yield b" "

    def send_large() -> None:
        with api.as_owner("alice") as alice:
            response = alice.post("/v1/videos", content=bits(), headers=JSON, timeout=120)
            answers.append(response.status_code)
            alice.delete(response.json()["urls"]["self"])

    def ask(bob: httpx.Client) -> float:
        began = time.monotonic()
        response = bob.post("/v1/images", content=small, headers=JSON)
        assert response.status_code == 202, response.text
        bob.delete(response.json()["urls"]["self"])
        return time.monotonic() - began

    threads = [threading.Thread(target=send_large) for _ in range(count)]
    with api.as_owner("bob") as bob, api.watched() as burden:
        for thread in threads:
            thread.start()
        nearly.wait(PATIENCE_S)
        go.set()
        began, waits = time.monotonic(), [ask(bob)]
        while any(thread.is_alive() for thread in threads):
            waits.append(ask(bob))
        took = time.monotonic() - began
        for thread in threads:
            thread.join()
    assert answers == [202] * count
    assert max(waits) < max(2, took / count)  # one after the other, the last would wait for all of them
    burden.check(mib=64)
