"""Thousands of spoiled inputs to the running service: each is refused as the client's fault or served.

PIRENDERER_FUZZ_EXAMPLES says how many for each test. Without it they are few, and the same ones each time.
"""

import base64
import contextlib
import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from service.http.examples import REQUESTS as REQUESTS_IN_JSON
from tests.support.inputs import pictures, sounds, spoiled, texts, videos, with_a_value_replaced
from tests.support.processes import PLAIN, SWAY, TURN, Service, need_weights, until
from tests.support.tiny_weights import tiny_settings

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Generating overly large repr")]

WANTED = int(os.environ.get("PIRENDERER_FUZZ_EXAMPLES", "0"))
API_MIB, WORKER_MIB = 400, 1800  # at their most, ever; decoders of what claims to be large would take gigabytes


def fuzz(few: int) -> settings:
    return settings(
        max_examples=WANTED or few,
        derandomize=not WANTED,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    need_weights()
    given_settings = {
        **tiny_settings(tmp_path_factory.mktemp("weights")),
        "PIRENDERER_MAX_WAIT_S": "0.1",
        "PIRENDERER_QUEUE_LIMIT": "1000000",
        "PIRENDERER_MAX_PIXELS": "2000000",
        "PIRENDERER_MAX_VIDEO_SECONDS": "2",
        "PIRENDERER_MAX_AUDIO_SECONDS": "2",
        "PIRENDERER_HEADER_TIMEOUT_S": "1",
        "PIRENDERER_UPLOAD_TIMEOUT_S": "5",
        "PIRENDERER_FETCH": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given_settings.items():
            patch.setenv(name, value)
        service = Service(tmp_path_factory.mktemp("fuzz"))
        try:
            for name in ("redis", "api", "worker"):
                service.start(name)
            service.wait_for_workers()
            yield service
        finally:
            service.stop()


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


FILES = {
    "picture": lambda: st.sampled_from(pictures()).flatmap(spoiled),
    "sound": lambda: st.sampled_from(sounds()).flatmap(spoiled),
    "video": lambda: st.sampled_from(videos()).flatmap(spoiled),
}
GOOD = pictures()[0]
FORMS: dict[str, tuple[str, dict[str, str], dict[str, bytes], dict[str, bytes]]] = {
    # call, fields with spoiled files, good files, texts
    "portrait": ("images", {"portrait": "picture"}, {}, {"motion": TURN.encode()}),
    "driving image": ("images", {"driving": "picture"}, {"portrait": GOOD}, {}),
    "portrait to move": ("videos", {"portrait": "picture"}, {}, {"motion": SWAY.encode()}),
    "speech": ("videos", {"audio": "sound"}, {"portrait": GOOD}, {}),
    "driving video": ("videos", {"driving": "video"}, {"portrait": GOOD}, {}),
    "source image": ("motions", {"source": "picture"}, {}, {}),
    "source video": ("motions", {"source": "video"}, {}, {}),
}


def test_files(service: Service) -> None:
    """Through the whole service; a worker decodes what the front-end takes."""
    worker = service.child()
    assert worker is not None
    answers: Counter[int] = Counter()
    ends: Counter[str] = Counter()
    waiting: list[str] = []

    def collect(most: int) -> None:
        def oldest_done() -> bool:
            job = service.job(waiting[0])
            assert job is not None
            if job["status"] in ("queued", "running"):
                return False
            error = job["error"]
            assert error is None or error["status"] < 500, (error, service.log("worker"))
            ends[error["type"].rpartition("/")[2] if error else "served"] += 1
            service.client.delete(f"/v1/jobs/{waiting.pop(0)}")
            return True

        while len(waiting) > most:
            until(oldest_done, f"a job does not end: {service.log('worker')}")

    @fuzz(60)
    @given(data=st.data(), name=st.sampled_from(sorted(FORMS)))
    def send(data: st.DataObject, name: str) -> None:
        call, bad, good, given_texts = FORMS[name]
        files = {field: data.draw(FILES[kind](), label=field) for field, kind in bad.items()}
        options = {} if call == "motions" else {"options": PLAIN}
        response = service.client.post(f"/v1/{call}", files={**files, **good}, data={**given_texts, **options})
        answers[response.status_code] += 1
        assert response.status_code in (202, 400, 413, 415, 422), response.text
        if response.status_code == 202:
            waiting.append(response.json()["id"])
            collect(40)  # so that what is found is found soon, and the worker is kept busy

    send()
    collect(0)
    assert service.child() == worker, "the worker's process was lost"
    assert peak_mib(worker.pid) < WORKER_MIB
    assert peak_mib(service.processes["api"].pid) < API_MIB
    assert ends["served"] > 0
    assert not list(service.artifacts.glob("??/*"))
    print(f"{answers.total()} files: {dict(sorted(answers.items()))}; {ends.total()} jobs: {dict(ends.most_common())}")  # noqa: T201


MOTIONS = {"motion": texts("Motion"), "motions": texts("Motions")}
NOTES = {"webhook": texts("Webhook"), "deadline": st.floats().map(repr).map(str.encode) | texts("Motion")}
FIELDS: dict[str, dict[str, st.SearchStrategy[bytes]]] = {
    "images": {**MOTIONS, **NOTES, "options": texts("ImageOptions"), "portrait_id": st.binary(max_size=40)},
    "videos": {**MOTIONS, **NOTES, "options": texts("VideoOptions"), "audio": st.binary(max_size=64)},
    "motions": {**NOTES, "options": texts("MotionOptions"), "source": st.binary(max_size=64)},
    "portraits": {**NOTES, "portrait": st.binary(max_size=64)},
}
WHOLE = {"images": {"motion": TURN.encode()}, "videos": {"motion": SWAY.encode()}, "motions": {}, "portraits": {}}


@st.composite
def forms(draw: st.DrawFn) -> tuple[str, bytes]:
    """A call and a form for it: a whole one with some fields added or replaced, and maybe spoiled as bytes."""
    call = draw(st.sampled_from(sorted(FIELDS)))
    given_fields = dict(WHOLE[call])
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS[call])), max_size=3)):
        given_fields[name] = draw(FIELDS[call][name])
    parts = [(b"source" if call == "motions" else b"portrait", b'; filename="a"', GOOD)]
    parts += [(name.encode(), b"", text) for name, text in given_fields.items()]
    body = b"".join(b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % part for part in parts)
    body += b"--x--\r\n"
    return call, draw(spoiled(body)) if draw(st.integers(0, 3)) == 0 else body


def test_forms(service: Service) -> None:
    answers: Counter[int] = Counter()

    @fuzz(150)
    @given(
        form=forms(),
        key=st.none() | st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=8).map(str.strip),
    )
    @example(form=("images", b"--x\r\n\r\n\xff"), key=None)
    def send(form: tuple[str, bytes], key: str | None) -> None:
        call, body = form
        headers = {b"content-type": b"multipart/form-data; boundary=x", b"prefer": b"wait=0"}
        if key:
            headers[b"idempotency-key"] = key.encode("latin-1")
        response = service.client.post(f"/v1/{call}", content=body, headers=list(headers.items()))
        answers[response.status_code] += 1
        assert response.status_code < 500, response.text
        if response.is_success:
            service.client.delete(response.json()["urls"]["self"])
        else:
            assert response.headers["content-type"] == "application/problem+json"

    send()
    assert len(answers) > 2
    assert answers[202] > 0
    print(f"{answers.total()} forms: {dict(sorted(answers.items()))}")  # noqa: T201


def in_json(value: object) -> object:
    """What a JSON body holds, with the picture itself in place of its addresses."""
    if isinstance(value, dict):
        return {name: in_json(each) for name, each in value.items()}
    return URI if isinstance(value, str) and value.startswith("https:") else value


URI = f"data:image/jpeg;base64,{base64.b64encode(GOOD).decode()}"
BODIES = [
    (call, json.dumps(in_json(body)).encode())
    for call, examples in REQUESTS_IN_JSON.items()
    for body in examples.values()
]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A call and JSON for it: an example, with a value of it replaced, or spoiled as bytes."""
    call, body = draw(st.sampled_from(BODIES))
    return call, draw(st.one_of(st.just(body), spoiled(body), with_a_value_replaced(body)))


def test_json(service: Service) -> None:
    answers: Counter[int] = Counter()

    @fuzz(150)
    @given(request=bodies(), urlencoded=st.integers(0, 7).map(lambda number: number == 0))
    def send(request: tuple[str, bytes], urlencoded: bool) -> None:
        call, body = request
        content_type = "application/x-www-form-urlencoded" if urlencoded else "application/json"
        headers = {"content-type": content_type, "prefer": "wait=0"}
        response = service.client.post(f"/v1/{call}", content=body, headers=headers)
        answers[response.status_code] += 1
        assert response.status_code < 500, response.text
        if response.is_success:
            service.client.delete(urlsplit(response.json()["urls"]["self"]).path)
        else:
            assert response.headers["content-type"] == "application/problem+json"

    send()
    assert answers[202] > 0
    assert answers[422] > 0
    assert not list(service.artifacts.glob("??/*/body.json"))
    print(f"{answers.total()} bodies: {dict(sorted(answers.items()))}")  # noqa: T201


JOB = b"/v1/jobs/" + b"0" * 32
HOST = b"Host: 127.0.0.1\r\n"
MULTIPART = b"POST /v1/images HTTP/1.1\r\n" + HOST + b"Content-Type: multipart/form-data; boundary=x\r\n"
REQUESTS = [
    b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /v1/jobs?limit=3&cursor=MTIz HTTP/1.1\r\n" + HOST + b"Accept: */*\r\n\r\n",
    b"GET " + JOB + b"/result HTTP/1.1\r\n" + HOST + b'Range: bytes=0-9\r\nIf-None-Match: "a"\r\n\r\n',
    b"GET " + JOB + b"/events HTTP/1.1\r\n" + HOST + b"Last-Event-ID: 1-1\r\n\r\n",
    b"GET " + JOB + b"/stream.m3u8?_HLS_msn=3 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST " + JOB + b"/cancel HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n{}",
    MULTIPART + b"Prefer: wait=1\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n--x--\r\n0\r\n\r\n",
    MULTIPART + b"Expect: 100-continue\r\nContent-Length: 66\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="motion"\r\n\r\n{}\r\n--x--\r\n',
    b"OPTIONS * HTTP/1.0\r\nOrigin: http://a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"GET /web/../../../etc/passwd%00?x=%ff HTTP/1.1\r\nHost: [::1]:80\r\nAuthorization: Bearer x\r\n\r\n",
]


def test_requests(service: Service) -> None:
    """As bytes of a connection: whatever comes, what is answered is an answer of HTTP, and others are served."""
    answers: Counter[str] = Counter()

    @fuzz(150)
    @given(st.lists(st.sampled_from(REQUESTS).flatmap(spoiled), min_size=1, max_size=2).map(b"".join))
    @example(REQUESTS[0] + REQUESTS[1])
    def send(data: bytes) -> None:
        with socket.create_connection(("127.0.0.1", service.api_port), timeout=20) as connection:
            got = b""
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
                with contextlib.suppress(TimeoutError):
                    connection.settimeout(0.3)
                    got = connection.recv(65_536)
                connection.shutdown(socket.SHUT_WR)  # for those that wait for more
                connection.settimeout(20)
                while part := connection.recv(65_536):
                    got += part
        status = got.split(b" ", 2)[1].decode() if got else "closed"
        answers[status] += 1
        assert got == b"" or (got.startswith(b"HTTP/1.1 ") and status < "500"), got

    send()
    assert answers["200"] > 0
    assert answers["400"] > 0
    assert service.client.get("/readyz").status_code == 200
    assert peak_mib(service.processes["api"].pid) < API_MIB
    log = (service.folder / "api.log").read_text(errors="replace")
    unexpected = [line for line in log.splitlines() if '"level": "error"' in line or "Traceback" in line]
    assert unexpected == []
    print(f"{answers.total()} requests: {dict(sorted(answers.items()))}")  # noqa: T201
