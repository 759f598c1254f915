"""What the Python client sends, and what it makes of answers: against a server that writes down what it gets."""

import asyncio
import hashlib
import io
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, assert_type, get_args

import httpx
import pytest

from jobs import formats
from jobs.schemas import JobKind, JobStatus
from pirenderer_client import (
    AsyncClient,
    AsyncJob,
    Client,
    ConnectionFailedError,
    InvalidRequestError,
    Job,
    Kind,
    NotFoundError,
    Portrait,
    ServiceError,
    Status,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    calls,
)
from pirenderer_client.connections import FORMATS, SUFFIXES
from pirenderer_client.sse import EventParser, Message
from tests.support.recorder import Answer, Recorder

JOB: dict[str, Any] = {"id": "0" * 32, "kind": "image", "status": "queued"}
PORTRAIT = Portrait("image/jpeg", 1, "", id="a" * 32, width=1, height=1, expires_at="")
AWAY = Answer({"title": "Away", "detail": "for now"}, 503, {"Retry-After": "0"})


def problem(status: int, name: str, **more: Any) -> dict[str, Any]:
    kind = f"https://portraits.example/problems/{name}"
    return {"type": kind, "title": "No", "status": status, "detail": "not so", **more}


def done(data: bytes, **more: Any) -> dict[str, Any]:
    result = {"media_type": "image/png", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}
    return {**JOB, "status": "succeeded", "result": result}


STREAM = [
    ("data: a\n\n", [Message("", "message", "a")]),
    ("id: 7\nevent: status\ndata: {}\n\n", [Message("7", "status", "{}")]),
    ("id: 7\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [Message("7", "message", "a"), Message("7", "message", "b")]),
    ("data: a\rdata: b\r\rdata:c\r\r", [Message("", "message", "a\nb"), Message("", "message", "c")]),
    (": alive\n\ndata\ndata:  ü\n\n", [Message("", "message", "\n ü")]),
    ("event: status\n\ndata: a\n\n", [Message("", "message", "a")]),
    ("\ufeffdata: a\u2028b\x0b\n\n", [Message("", "message", "a\u2028b\x0b")]),
    ("id: 1\nid: 2\0\nunknown: x\ndata: a\n\ndata: cut", [Message("1", "message", "a")]),
]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(("text", "messages"), STREAM)
def test_events_are_read_however_they_are_cut(text: str, messages: list[Message], size: int) -> None:
    parser, data = EventParser(), text.encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert [message for piece in pieces for message in parser.feed(piece)] == messages


def test_events_are_there_as_soon_as_their_last_byte() -> None:
    assert list(EventParser().feed(b"data: a\r\r")) == [Message("", "message", "a")]


def test_the_stream_says_when_to_come_again() -> None:
    parser = EventParser()
    list(parser.feed(b"retry: 2500\nretry: soon\nid: 3\n\n"))
    assert (parser.retry_s, parser.last_id) == (2.5, "3")


def test_files_go_as_a_form_and_the_rest_beside_them(tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_bytes(b"photo")
    with Recorder(Answer(JOB, 202)) as server, Client(server.url, api_key="key") as client:
        client.animate(
            tmp_path / "me.jpg", audio=io.BytesIO(b"speech"), controls={"yaw": 20}, options={"seed": 7},
            metadata={"order": "17"}, webhook={"url": "https://a.example"}, deadline=60, voice=None,
        )  # fmt: skip
        client.animate(PORTRAIT, audio=b"speech", text="Hello")
        client.animate("https://a.example/me.jpg", audio=str(tmp_path / "me.jpg"))
    first, second, third = (sent.form for sent in server.sent)
    assert {name: data for name, (_, data) in first.items()} == {
        "portrait": b"photo", "audio": b"speech", "motion": b'{"controls": {"yaw": 20}}', "options": b'{"seed": 7}',
        "metadata": b'{"order": "17"}', "webhook": b'{"url": "https://a.example"}', "deadline": b"60",
    }  # fmt: skip
    assert [name for name, (file, _) in first.items() if file is not None] == ["portrait", "audio"]
    kept = (None, PORTRAIT.id.encode())
    assert second == {"portrait_id": kept, "text": (None, b"Hello"), "audio": ("audio", b"speech")}
    assert third == {"portrait": (None, b"https://a.example/me.jpg"), "audio": ("audio", b"photo")}
    assert {sent.path for sent in server.sent} == {"/v1/videos"}
    assert {sent.headers["authorization"] for sent in server.sent} == {"Bearer key"}
    assert len({sent.headers["idempotency-key"] for sent in server.sent}) == 3


def test_what_has_no_file_goes_as_json() -> None:
    with Recorder(Answer(JOB, 202)) as server, Client(f"{server.url}/under/") as client:
        client.pose(PORTRAIT, controls={"yaw": 20, "smile": 0.5}, options={"format": "webp"}, idempotency_key="mine")
        client.animate("data:image/png;base64,AAAA", text="Hello", voice="en", metadata={"a": "b"}, deadline=1.5)
        client.extract("https://a.example/video.mp4")
    assert [(sent.path, json.loads(sent.body)) for sent in server.sent] == [
        (
            "/under/v1/images",
            {
                "portrait": {"id": PORTRAIT.id},
                "motion": {"controls": {"yaw": 20, "smile": 0.5}},
                "options": {"format": "webp"},
            },
        ),
        (
            "/under/v1/videos",
            {
                "portrait": "data:image/png;base64,AAAA",
                "text": "Hello",
                "voice": "en",
                "metadata": {"a": "b"},
                "deadline": 1.5,
            },
        ),
        ("/under/v1/motions", {"source": "https://a.example/video.mp4"}),
    ]
    assert {sent.headers["content-type"] for sent in server.sent} == {"application/json"}
    assert server.sent[0].headers["idempotency-key"] == "mine"


def test_the_last_events_are_asked_for_where_a_job_ends_between_two_streams() -> None:
    def stream(number: int, status: str) -> Answer:
        data = json.dumps({"status": status})
        return Answer(
            f"id: {number}\nevent: status\ndata: {data}\n\n".encode(), headers={"Content-Type": "text/event-stream"}
        )

    ended = Answer(done(b""))
    with (
        Recorder(Answer(JOB), stream(1, "queued"), ended, stream(2, "succeeded"), ended) as server,
        Client(server.url) as client,
    ):
        events = list(client.job(JOB["id"]).events())
    assert [event.data["status"] for event in events] == ["queued", "succeeded"]
    assert server.sent[3].headers["last-event-id"] == "1"


def test_a_job_has_ended_though_its_events_do_not_say_so() -> None:
    stream = Answer(b": none\n\n", headers={"Content-Type": "text/event-stream"})
    ended = Answer(done(b""))
    with Recorder(Answer(JOB), stream, ended, stream, ended) as server, Client(server.url) as client:
        assert list(client.job(JOB["id"]).events()) == []
    assert len(server.sent) == 5


def test_controls_beside_a_motion_are_refused() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(ValueError, match="allowed is one of them"):
        client.pose(b"photo", controls={"yaw": 1}, motion={"controls": {}})


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "long.wav").open("wb") as file:
        file.truncate(50_000_000)
    tracemalloc.start()
    with httpx.Client() as http, calls.extraction(tmp_path / "long.wav").request(http) as request:
        assert isinstance(request.stream, httpx.SyncByteStream)
        assert sum(map(len, request.stream)) > 50_000_000
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10_000_000


@pytest.mark.parametrize("first", [AWAY, Answer(b"<h1>Bad gateway</h1>", 502), Answer(
    problem(409, "idempotency-in-flight"), 409, {"Retry-After": "0"}
)])  # fmt: skip
def test_a_job_is_sent_again_with_the_same_key_and_all_of_its_files(first: Answer) -> None:
    with Recorder(first, AWAY, Answer(JOB, 202)) as server, Client(server.url) as client:
        client.extract(io.BytesIO(b"source"))
    assert [sent.form["source"][1] for sent in server.sent] == [b"source"] * 3
    assert len({sent.headers["idempotency-key"] for sent in server.sent}) == 1


class Once(io.BytesIO):
    """A stream that cannot be read twice."""

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize(
    "send",
    [
        lambda client: client.keep_portrait(b"photo"),
        lambda client: Job(client, "", JOB).rerun(),
        lambda client: Job(client, "", JOB).delete(),
        lambda client: client.extract(Once(b"source")),
    ],
)
def test_what_might_be_done_twice_is_sent_once(send: Callable[[Client], object]) -> None:
    with Recorder(AWAY) as server, Client(server.url) as client, pytest.raises(UnavailableError):
        send(client)
    assert len(server.sent) == 1


def test_tries_are_bounded() -> None:
    with Recorder(AWAY) as server, Client(server.url, retries=2) as client, pytest.raises(UnavailableError) as caught:
        client.job("x")
    assert len(server.sent) == 3
    assert caught.value.retry_after == 0


def test_who_is_told_to_come_much_later_is_told_so() -> None:
    answer = Answer(problem(503, "no-model"), 503, {"Retry-After": "3600"})
    with Recorder(answer) as server, Client(server.url) as client, pytest.raises(UnavailableError) as caught:
        client.job("x")
    assert (len(server.sent), caught.value.retry_after) == (1, 3600)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError), (401, UnauthorizedError), (403, UnauthorizedError), (404, NotFoundError),
        (410, NotFoundError), (413, InvalidRequestError), (429, TooManyRequestsError), (500, ServiceError),
        (507, UnavailableError),
    ],
)  # fmt: skip
def test_each_problem_has_its_kind(status: int, kind: type[ServiceError]) -> None:
    said = problem(status, "a-name", got=[1], allowed={"a": 2}, errors=[{"field": "x"}])
    answer = Answer(said, status, {"Retry-After": "7"})
    with Recorder(answer) as server, Client(server.url) as client, pytest.raises(ServiceError) as caught:
        client.job("x")
    error = caught.value
    assert type(error) is kind
    assert str(error) == "No: not so"
    assert (error.status, error.name, error.title, error.detail) == (status, "a-name", "No", "not so")
    assert (error.got, error.allowed, error.errors, error.retry_after) == ([1], {"a": 2}, [{"field": "x"}], 7)
    assert len(server.sent) == 1


@pytest.mark.parametrize("answer", [
    Answer(b"<h1>Hello</h1>"), Answer(b"", 302, {"Location": "http://127.0.0.1:1/"}), Answer(b"[", 418),
])  # fmt: skip
def test_what_is_no_answer_of_the_service_is_told(answer: Answer) -> None:
    with Recorder(answer) as server:
        address = server.url.replace("http://", "http://user:secret@")
        with Client(address) as client, pytest.raises(ServiceError, match="/v1/jobs/x answered") as caught:
            client.job("x")
    assert "secret" not in str(caught.value)


def test_nobody_there_is_told() -> None:
    with Client("http://user:secret@127.0.0.1:1", retries=1) as client, pytest.raises(ConnectionFailedError) as caught:
        client.job("x")
    assert str(caught.value).startswith("no answer from http://127.0.0.1:1/v1/jobs/x: ")


def test_formats_kinds_and_states_are_those_of_the_service() -> None:
    assert {kind: {*names.values()} for kind, names in formats.BY_SUFFIX.items()} == {
        kind: {*names} for kind, names in FORMATS.items()
    }
    for media_type, suffix in formats.SUFFIXES.items():
        assert SUFFIXES[f".{suffix}"] == media_type.partition("/")[2]
    assert get_args(Kind) == tuple(JobKind)
    assert get_args(Status) == tuple(JobStatus)


def test_kinds_and_states_are_known_to_type_checkers() -> None:
    with Recorder(Answer(JOB)) as server, Client(server.url) as client:
        job = client.job("x")
        assert_type(job.kind, Kind)
        assert_type(job.status, Status)
    calls.jobs(status=["failed"], kind="video")
    calls.jobs(status="done", kind="film")  # type: ignore[arg-type]


def test_an_end_that_was_told_is_asked_for_until_it_is_known() -> None:
    end = b'id: 7\nevent: status\ndata: {"status": "succeeded"}\n\n'
    answers = [Answer({**JOB, "status": "running"}), Answer(end), AWAY, AWAY, Answer(b""), Answer(done(b"a"))]
    with Recorder(*answers) as server, Client(server.url, retries=1) as client:
        assert client.job("x").wait().status == "succeeded"
    assert [sent.headers["last-event-id"] for sent in server.sent if sent.path.endswith("/events")] == [None, "7"]

    async def wait() -> str:
        async with AsyncClient(server.url, retries=1) as client:
            return (await (await client.job("x")).wait()).status

    with Recorder(*answers) as server:
        assert asyncio.run(wait()) == "succeeded"


def test_lists_come_page_by_page() -> None:
    pages = [{"jobs": [JOB, JOB], "next_cursor": "more"}, {"jobs": [JOB], "next_cursor": None}]
    with Recorder(*map(Answer, pages)) as server, Client(server.url) as client:
        assert len(list(client.jobs(status=["failed", "expired"], kind="video"))) == 3
    assert [sent.path for sent in server.sent] == [
        "/v1/jobs?status=failed&status=expired&kind=video",
        "/v1/jobs?status=failed&status=expired&kind=video&cursor=more",
    ]

    async def listed(jobs: AsyncIterator[AsyncJob]) -> list[str]:
        return [job.id async for job in jobs]

    async def ask() -> list[str]:
        async with AsyncClient(server.url) as client:
            return await listed(client.jobs())

    with Recorder(*map(Answer, pages)) as server:
        assert asyncio.run(ask()) == [JOB["id"]] * 3


def test_what_a_newer_service_tells_besides_does_no_harm() -> None:
    told = {**done(b"a", mood="good"), "progress": {"stage": "render", "done": 1, "total": 2, "speed": 3}, "new": 1}
    with Recorder(Answer(told)) as server, Client(server.url) as client:
        job = client.job("x")
    assert job.progress is not None
    assert (job.progress.stage, job.progress.done, job.progress.total) == ("render", 1, 2)
    assert job.result is not None
    assert job.result.bytes == 1
    assert job.document["new"] == 1


@pytest.mark.parametrize("url", ["", "here", "ftp://here", "http://", "http://[::1", "http://h:x", "http://h:99999"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ServiceError, match="is no address of a server; allowed is http://HOST"):
        Client(url)


def test_a_connection_that_is_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout=0.1, retries=1) as client, pytest.raises(ConnectionFailedError, match="timed out"):
            client.job("x")
