"""Motions that would take far more of the API than they weigh: memory, and everybody's time."""

import json
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.conftest import DIMENSION, MIB, Api
from tests.support.processes import TURN, until

FRAMES = 7500
DRAFTS = "??/*/.*/motion*.json"
SIZE = 16 * MIB - 1000
SPACE = b'{"space":"open478",'


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    api = Api(folder)
    try:
        api.serve()
        yield api
    finally:
        api.stop()


def frames(number: bytes, per_row: int, size: int = SIZE) -> bytes:
    row = b"[" + b",".join([number] * per_row) + b"]"
    return SPACE + b'"frames":[' + b",".join([row] * min(FRAMES, size // (len(row) + 1))) + b"]}"


def repeated(before: bytes, item: bytes, after: bytes, size: int = SIZE) -> bytes:
    return before + b",".join([item] * ((size - len(before) - len(after)) // (len(item) + 1))) + after


def controls(count: int) -> bytes:
    return b",".join(b'"%x":0' % number for number in range(count))


VIDEOS: dict[str, Callable[[], bytes]] = {
    "wrong items": lambda: frames(b'""', 511),
    "wrong items of a right number": lambda: frames(b'""', DIMENSION),
    "beyond the range": lambda: frames(b"999", 512),
    "too long rows": lambda: frames(b"1", 512),
    "short rows": lambda: frames(b"1", 1),
    "lists in a row": lambda: repeated(SPACE + b'"frames":[[', b"[]", b"]]}"),
    "lists for a name": lambda: repeated(b'{"frames":[],"space":[', b"[]", b"]}"),
    "texts for a name": lambda: repeated(b'{"frames":[],"space":[', b'"ab"', b"]}"),
    "numbers for a name": lambda: repeated(b'{"frames":[],"space":[', b"1234567", b"]}"),
    "objects beside": lambda: repeated(SPACE + b'"controls":{},"x":[', b"{}", b"]}"),
    "names of controls": lambda: SPACE + b'"keyframes":[{"t":0,"controls":{' + controls(10**6) + b"}}]}",
    "fields": lambda: SPACE + b'"frames":[],' + controls(60_000) + b"}",
    "keyframes": lambda: repeated(SPACE + b'"keyframes":[', b"{}", b"]}"),
    "a confidence": lambda: SPACE + b'"frames":[[0]],"confidence":[' + b",".join([b"7"] * 10**6) + b"]}",
    "shots": lambda: repeated(SPACE + b'"frames":[[0]],"shots":[', b'{"start":0,"crop":{"side":-1}}', b"]}"),
    "nesting": lambda: SPACE + b'"frames":' + b"[" * (SIZE // 2) + b"]" * (SIZE // 2) + b"}",
    "a long text": lambda: b'{"frames":[],"space":"' + "\U0001f600".encode() + b"a" * SIZE + b'"}',
    "a long name": lambda: b'{"frames":[],"' + b"a" * SIZE + b'":1}',
    "a long number": lambda: b'{"frames":[[' + b"1" * SIZE + b"]]}",
    "long numbers": lambda: repeated(SPACE + b'"frames":[[', b"1" * 4000, b"]]}"),
    "quotation marks": lambda: SPACE + b'"' * SIZE + b"}",
    "white space": lambda: SPACE + b" " * SIZE,
}  # fmt: skip


@pytest.mark.parametrize("kind", VIDEOS)
def test_a_bad_motion_is_refused_cheaply(api: Api, portrait: bytes, kind: str) -> None:
    files = {"portrait": portrait, "motion": (None, VIDEOS[kind]())}
    with api.as_owner("alice") as client, api.watched() as burden:
        response = client.post("/v1/videos", files=files)  # type: ignore[arg-type]
    assert response.status_code in (400, 422), response.text
    assert len(response.content) < 4000
    burden.check(mib=64)


STILL = 64 * 1024 - 1000
IMAGES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "still: lists": ("motion", lambda: repeated(SPACE + b'"coefficients":[', b"[]", b"]}", size=STILL)),
    "still: fields": ("motion", lambda: b'{"controls":{},' + controls(5000) + b"}"),
    "many: objects": ("motions", lambda: repeated(b"[", b"{}", b"]", size=4 * MIB - 1000)),
    "many: numbers": ("motions", lambda: repeated(b"[", b"7", b"]", size=4 * MIB - 1000)),
    "many: too long": ("motions", lambda: frames(b"1", 512, 4 * MIB - 1000)),
    "options: fields": ("options", lambda: b"{" + controls(5000) + b"}"),
    "webhook: events": ("webhook", lambda: b'{"url":"https://a.example/","events":[' + b'"",' * 1000 + b'""]}'),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_bad_documents_of_an_image_are_refused_cheaply(api: Api, portrait: bytes, kind: str) -> None:
    name, make = IMAGES[kind]
    files = {"portrait": portrait, "motion": (None, TURN), name: (None, make())}
    if name == "motions":
        del files["motion"]
    with api.as_owner("alice") as client, api.watched() as burden:
        response = client.post("/v1/images", files=files)  # type: ignore[arg-type]
    assert response.status_code == 422, response.text
    assert len(response.content) < 4000
    burden.check(mib=64)


def test_the_largest_motion_is_taken_as_cheaply(api: Api, portrait: bytes) -> None:
    chance = random.Random(1)
    rows = [[chance.random() for _ in range(DIMENSION)] for _ in range(100)]
    crop = {"x": -3.52, "y": 20.1, "side": 349.1}
    document = {
        "space": "open478",
        "frames": [rows[frame % 100] for frame in range(FRAMES)],
        "confidence": [0.98] * FRAMES,
        "shots": [{"start": frame, "crop": crop} for frame in range(FRAMES)],
    }
    text = json.dumps(document)
    assert 10 * MIB < len(text) < 16 * MIB
    files = {"portrait": portrait, "motion": (None, text)}
    with api.as_owner("alice") as client:
        before = api.redis.info("memory")["used_memory"]
        with api.watched() as burden:
            response = client.post("/v1/videos", files=files)  # type: ignore[arg-type]
        assert response.status_code == 202, response.text
        burden.check(mib=64)
        assert api.redis.info("memory")["used_memory"] - before < 1 * MIB
        client.delete(response.json()["urls"]["self"])


def test_forms_that_wait_hold_no_text(api: Api) -> None:
    with api.watched() as burden:
        held = []
        for part in (b"motion", b"motions"):
            for _ in range(3):
                connection = socket.create_connection((api.client.base_url.host, api.client.base_url.port or 80))
                text = b"1" * (3 * MIB)
                body = b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n' % part + text
                path = b"videos" if part == b"motion" else b"images"
                connection.sendall(
                    b"POST /v1/%s HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Length: 9999999\r\n"
                    b"Content-Type: multipart/form-data; boundary=B\r\n\r\n" % (path, api.keys["bob"].encode()) + body
                )
                held.append(connection)
        wanted = len(held) * 3 * MIB - MIB  # what lies in buffers is not there yet
        until(lambda: sum(path.stat().st_size for path in api.artifacts.glob(DRAFTS)) > wanted, "no drafts")
        for connection in held:
            connection.close()
    burden.check(mib=16)
