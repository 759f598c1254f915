"""Create calls in JSON and urlencoded: the same fields as in a form, files as data URIs or by their addresses."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from jobs.problems import ProblemType
from jobs.schemas import ImageSpec, VideoSpec
from tests.service.conftest import DIMENSION, Server, Start, photo
from tests.service.routes.test_create import MP4, WAV, nothing_left, refused

TURN = {"controls": {"yaw": 20}}


def data_uri(data: bytes, media_type: str = "image/jpeg") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


GOOD: dict[str, Any] = {"portrait": data_uri(photo()), "motion": TURN}


def ask(server: Server, call: str, **fields: Any) -> httpx.Response:
    return server.client.post(f"/v1/{call}", json=fields)


@pytest.fixture
def site() -> Iterator["Site"]:
    """A server of files, which counts what it is asked for."""
    site = Site()
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()
    yield site
    site.shutdown()
    site.server_close()
    thread.join()


class Site(ThreadingHTTPServer):
    """Answers with `files`, by their paths."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site = self.server
        assert isinstance(site, Site)
        site.asked.append(self.path)
        body = site.files.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: Any) -> None:
        pass


def test_json_makes_the_job_that_a_form_makes(server: Server, portrait: bytes) -> None:
    given = {"motion": TURN, "options": {"format": "webp"}, "metadata": {"order": "17"}, "deadline": 60.5}
    job = ask(server, "images", portrait=data_uri(portrait), **given).json()
    form = {name: json.dumps(value) for name, value in given.items()}
    other = server.client.post("/v1/images", files={"portrait": portrait}, data=form).json()
    spec, same = (server.claim(each["id"]).spec for each in (job, other))
    assert isinstance(spec, ImageSpec)
    assert isinstance(same, ImageSpec)
    assert server.artifacts.path(spec.portrait.key).read_bytes() == portrait
    assert spec.model_copy(update={"portrait": same.portrait}) == same
    assert job["input"] == other["input"]
    assert job["metadata"] == other["metadata"] == {"order": "17"}
    assert job["deadline"] is not None
    assert [path.name for path in server.artifacts.root.glob("??/*/*")] == ["portrait.jpg"] * 2  # no body stays


def test_what_a_job_is_made_of_is_shown_with_it(server: Server, portrait: bytes) -> None:
    job = ask(server, "videos", portrait=data_uri(portrait), audio=data_uri(WAV), options={"temperature": 0.5}).json()
    found = server.client.get(job["urls"]["self"]).json()["input"]
    assert {name for name, value in found.items() if value is not None} == {"portrait", "audio", "options"}
    assert found["portrait"].keys() == {"media_type", "bytes", "sha256"}
    assert (found["audio"]["media_type"], found["audio"]["bytes"]) == ("audio/wav", len(WAV))
    assert (found["options"]["temperature"], found["options"]["paste_back"]) == (0.5, True)
    assert found["options"]["seed"] == int(job["id"][:8], 16)
    assert server.client.get("/v1/jobs").json()["jobs"][0]["input"] is None
    named = ask(server, "videos", portrait=data_uri(portrait), audio=data_uri(WAV), options={"seed": 7}).json()
    assert named["input"]["options"]["seed"] == 7


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("size", [6, 3000, 3001, 3002, 5_000_000], ids=str)
def test_a_data_uri_is_decoded_to_the_byte(server: Server, size: int, padded: bool) -> None:
    data = photo() + bytes(range(256)) * (size // 256) + bytes(size % 256)
    uri = data_uri(data) if padded else data_uri(data).rstrip("=")
    job = ask(server, "images", portrait=uri, motion=TURN).json()
    spec = server.claim(job["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert server.artifacts.path(spec.portrait.key).read_bytes() == data


def test_escapes_in_a_data_uri_are_read(server: Server, portrait: bytes) -> None:
    """Some write a slash as \\/ and a plus as \\u002B."""
    body = json.dumps({"portrait": data_uri(portrait), "motion": TURN})
    for before, after in (("/", "\\/"), ("+", "\\u002B")):
        assert before in body
        body = body.replace(before, after)
    response = server.client.post("/v1/images", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 202, response.text


def test_escapes_are_read_wherever_they_stand(server: Server) -> None:
    """Long texts are read piece by piece, and an escape may stand where two meet."""
    data = photo() + bytes([255]) * 4_000_000  # slashes alone
    for slash in ("\\/", "\\u002f"):
        body = json.dumps({"portrait": data_uri(data), "motion": TURN}).replace("/", slash)
        response = server.client.post("/v1/images", content=body, headers={"content-type": "application/json"})
        spec = server.claim(response.json()["id"]).spec
        assert isinstance(spec, ImageSpec)
        assert server.artifacts.path(spec.portrait.key).read_bytes() == data


def test_a_text_that_only_looks_like_a_data_uri_stays_one(server: Server, portrait: bytes) -> None:
    quoted = 'she said "data:' + "A" * 2000
    for text in ("data:" + "A" * 300, quoted):
        answer = ask(server, "images", portrait=data_uri(portrait), motion=TURN, metadata={"note": text})
        assert (answer.status_code == 202) == (len(text) <= 512), answer.text


def test_a_kept_portrait_is_named_by_its_id(server: Server, portrait: bytes) -> None:
    kept = ask(server, "portraits", portrait=data_uri(portrait)).json()
    job = ask(server, "images", portrait={"id": kept["id"]}, motion=TURN).json()
    assert job["input"]["portrait"]["sha256"] == kept["sha256"]
    form = server.client.post("/v1/images", data={"portrait_id": kept["id"], "motion": json.dumps(TURN)})  # urlencoded
    assert form.json()["input"] == job["input"]
    refused(ask(server, "images", portrait={"id": "0" * 32}, motion=TURN), ProblemType.NO_SUCH_PORTRAIT)


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"", ProblemType.BAD_REQUEST, "the body: it is empty"),
        (b'{"portrait": "data:' + b"\\" * 100_001 + b'"}', ProblemType.BAD_REQUEST, "the body: Invalid JSON"),
        (b'{"a": "' + b'\\"' * 60_000 + b"a" * 2_000_000, ProblemType.BAD_REQUEST, "the body: Invalid JSON"),
        (b'{"portrait": "data:;base64,' + b"\\q" * 2000 + b'"}', ProblemType.BAD_REQUEST, "the body: Invalid JSON"),
        (b"{", ProblemType.BAD_REQUEST, "the body: Invalid JSON"),
        (b'{"portrait": "data:' + b"A" * 5000, ProblemType.BAD_REQUEST, "the body: Invalid JSON"),
        (b"[]", ProblemType.BAD_REQUEST, "the body: it is an array; allowed is an object"),
        (b"null", ProblemType.BAD_REQUEST, "the body: it is null"),
        (b"[" * 5000, ProblemType.BAD_REQUEST, "the body: Invalid JSON"),
        (b"[" * 500_000, ProblemType.INVALID_REQUEST, "the body has more lists than"),
        (b'{"a":' * 50_000, ProblemType.INVALID_REQUEST, "the body has more objects than"),
        (b'{"deadline": ' + b"9" * 5000 + b"}", ProblemType.BAD_REQUEST, "a number of more than 512 digits"),
        (b'{"portrait": "\\ud800"}', ProblemType.BAD_REQUEST, "the body: Invalid JSON"),
        (b'\xff{"portrait": ""}', ProblemType.BAD_REQUEST, "the body: Invalid JSON"),
        ({"optoins": {}}, ProblemType.INVALID_REQUEST, "unknown field 'optoins'; allowed are portrait, motion"),
        ({"portrait_id": "0" * 32}, ProblemType.INVALID_REQUEST, "portrait_id is a field of forms; in JSON"),
        ({"motion": TURN}, ProblemType.INVALID_REQUEST, "field 'portrait' is missing"),
        ({"portrait": 5}, ProblemType.INVALID_REQUEST, "portrait is a number; allowed is a text"),
        ({"portrait": None}, ProblemType.INVALID_REQUEST, "portrait is null; allowed is a text"),
        ({"portrait": True}, ProblemType.INVALID_REQUEST, "portrait is true or false; allowed is a text"),
        ({"portrait": ["x"]}, ProblemType.INVALID_REQUEST, "portrait is an array; allowed is a text"),
        ({"portrait": {}}, ProblemType.INVALID_REQUEST, "portrait.id: Field required"),
        ({"portrait": {"id": 5}}, ProblemType.INVALID_REQUEST, "portrait.id: Input should be a valid string, got 5"),
        ({"portrait": {"id": "0", "url": ""}}, ProblemType.INVALID_REQUEST, "allowed are id"),
        ({"portrait": ""}, ProblemType.INVALID_ADDRESS, "portrait"),
        ({"portrait": "me.jpg"}, ProblemType.INVALID_ADDRESS, "URL of a public address, a file or a data URI"),
        ({"portrait": "file:///etc/passwd"}, ProblemType.INVALID_ADDRESS, "portrait"),
        ({"portrait": "https://127.0.0.1/"}, ProblemType.INVALID_ADDRESS, "portrait"),
        ({"portrait": "data:"}, ProblemType.INVALID_ADDRESS, "portrait is a data URI that begins 'data:'"),
        ({"portrait": "data:text/plain,hello"}, ProblemType.INVALID_ADDRESS, "allowed is data:TYPE;base64,DATA"),
        ({"portrait": "data:" + "x" * 5000}, ProblemType.INVALID_ADDRESS, "allowed is data:TYPE;base64,DATA"),
        ({"portrait": "data:;base64,"}, ProblemType.UNREADABLE_MEDIA, "portrait is an empty file"),
        ({"portrait": "data:;base64,!!!!"}, ProblemType.UNREADABLE_MEDIA, "portrait is a data URI that is not base64"),
        ({"portrait": "data:;base64,AAAA=AAA"}, ProblemType.UNREADABLE_MEDIA, "that is not base64"),
        ({"portrait": data_uri(b"GIF89a" + bytes(5000))}, ProblemType.UNSUPPORTED_MEDIA, "looks like image/gif"),
        (GOOD | {"motion": "x"}, ProblemType.INVALID_MOTION, "motion"),
        (GOOD | {"motion": {"controls": {"yaw": float("nan")}}}, ProblemType.INVALID_MOTION, "yaw"),
        (GOOD | {"deadline": "60"}, ProblemType.INVALID_REQUEST, "deadline is a text; allowed is a number"),
        (GOOD | {"deadline": True}, ProblemType.INVALID_REQUEST, "deadline is true or false; allowed is a number"),
        (GOOD | {"metadata": {"a b": "c"}}, ProblemType.INVALID_REQUEST, "metadata"),
        (GOOD | {"metadata": {"a": 5}}, ProblemType.INVALID_REQUEST, "metadata.a"),
        (GOOD | {"metadata": {"a": "b" * 513}}, ProblemType.INVALID_REQUEST, "512"),
        (GOOD | {"metadata": {str(n): "" for n in range(17)}}, ProblemType.INVALID_REQUEST, "16"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_json_is_named(
    server: Server, body: bytes | dict[str, Any], kind: ProblemType, said: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = server.client.post("/v1/images", content=content, headers={"content-type": "application/json"})
    assert said in refused(response, kind)["detail"]
    assert nothing_left(server)


def test_a_file_in_json_has_the_limits_of_one_in_a_form(start: Start) -> None:
    server = start(max_portrait_bytes=100_000, max_motion_bytes=1000)
    exact = photo() + bytes(100_000 - len(photo()))
    assert ask(server, "images", portrait=data_uri(exact), motion=TURN).status_code == 202
    problem = refused(ask(server, "images", portrait=data_uri(exact + b"x"), motion=TURN), ProblemType.TOO_LARGE)
    assert problem["detail"] == "portrait is larger than the 100000 bytes allowed"
    refused(ask(server, "images", portrait=data_uri(bytes(1_000_000)), motion=TURN), ProblemType.TOO_LARGE)
    padded = json.dumps({"motion": TURN}) + " " * 300_000
    response = server.client.post("/v1/images", content=padded, headers={"content-type": "application/json"})
    assert "bytes beside its files" in refused(response, ProblemType.TOO_LARGE)["detail"]


def test_a_text_that_looks_like_a_file_is_kept_as_it_was_sent(server: Server, portrait: bytes) -> None:
    value = "data:" + "\U0001f600" * 500
    job = ask(server, "images", portrait=data_uri(portrait), motion=TURN, metadata={"a": value, "b": value}).json()
    assert job["metadata"] == {"a": value, "b": value}
    problem = refused(
        ask(server, "images", portrait=data_uri(portrait), motion=TURN, metadata={"a": value * 2}),
        ProblemType.INVALID_REQUEST,
    )
    assert "at most 512 characters" in problem["detail"]
    problem = refused(ask(server, "images", **{"data:" + "k" * 2000: 1}), ProblemType.INVALID_REQUEST)
    assert problem["detail"].startswith("unknown field 'data:kkkk")


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip, br", "deflate"])
def test_a_body_that_is_compressed_is_refused_as_such(server: Server, encoding: str) -> None:
    content = gzip.compress(json.dumps(GOOD).encode())
    for content_type in ("application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        headers = {"content-type": content_type, "content-encoding": encoding}
        response = server.client.post("/v1/images", content=content, headers=headers)
        problem = refused(response, ProblemType.UNSUPPORTED_MEDIA)
        assert problem["detail"] == f"the request's Content-Encoding is {encoding!r}; allowed is none"
    assert server.client.post("/v1/images", json=GOOD, headers={"content-encoding": "identity"}).status_code == 202


def test_a_file_of_the_largest_size_may_have_its_slashes_escaped(start: Start) -> None:
    server = start(max_portrait_bytes=10_000_000)
    body = json.dumps({"portrait": data_uri(photo() + b"\xfb\xf0\x3f" * ((10_000_000 - len(photo())) // 3))})
    escaped = body.replace("/", "\\/", body.count("/") // 16)  # four times as many as of a file that is compressed
    headers = {"content-type": "application/json"}
    assert server.client.post("/v1/portraits", content=escaped, headers=headers).status_code == 201


def test_a_long_motion_in_json_lies_in_a_file(server: Server, portrait: bytes) -> None:
    frames = {"space": "open478", "fps": 25, "frames": [[0.123456] * DIMENSION] * 1000}
    job = ask(server, "videos", portrait=data_uri(portrait), motion=frames).json()
    spec = server.claim(job["id"]).spec
    assert isinstance(spec, VideoSpec)
    assert spec.motion_file is not None
    assert json.loads(server.artifacts.path(spec.motion_file.key).read_bytes()) == frames
    assert job["input"]["motion_file"]["media_type"] == "application/json"


@pytest.mark.parametrize("form", ["json", "multipart", "urlencoded"])
def test_files_are_fetched_from_their_addresses(start: Start, site: Site, portrait: bytes, form: str) -> None:
    server = start(fetch_private=True)
    site.files = {"/me.jpg": portrait, "/speech": WAV, "/drive": MP4}
    fields = {"portrait": f"{site.url}/me.jpg", "audio": f"{site.url}/speech", "driving": f"{site.url}/drive"}
    if form == "multipart":
        response = server.client.post("/v1/videos", files={name: (None, text) for name, text in fields.items()})
    else:
        as_json = form == "json"
        response = server.client.post("/v1/videos", json=fields if as_json else None, data=None if as_json else fields)
    assert response.status_code == 202, response.text
    spec = server.claim(response.json()["id"]).spec
    assert isinstance(spec, VideoSpec)
    assert spec.audio is not None
    assert spec.driving is not None
    files = (spec.portrait, spec.audio, spec.driving)
    assert [server.artifacts.path(file.key).read_bytes() for file in files] == [portrait, WAV, MP4]
    assert sorted(site.asked) == ["/drive", "/me.jpg", "/speech"]


def test_a_repeated_request_fetches_nothing(start: Start, site: Site, portrait: bytes) -> None:
    server = start(fetch_private=True)
    site.files = {"/me.jpg": portrait}
    fields = {"portrait": f"{site.url}/me.jpg", "motion": TURN}
    first, again = (
        server.client.post("/v1/images", json=fields, headers={"Idempotency-Key": "a"}).json() for _ in range(2)
    )
    assert again["id"] == first["id"]
    assert site.asked == ["/me.jpg"]
    other = server.client.post(
        "/v1/images", json={**fields, "portrait": f"{site.url}/you.jpg"}, headers={"Idempotency-Key": "a"}
    )
    refused(other, ProblemType.IDEMPOTENCY_MISMATCH)
    assert site.asked == ["/me.jpg"]


def test_what_is_fetched_has_the_limits_of_what_is_sent(start: Start, site: Site) -> None:
    server = start(fetch_private=True, max_portrait_bytes=100_000)
    site.files = {"/large": photo() + bytes(100_000), "/page": b"<html>" + bytes(5000), "/none": b""}
    for path, kind in {
        "/large": ProblemType.TOO_LARGE,
        "/page": ProblemType.UNSUPPORTED_MEDIA,
        "/none": ProblemType.UNREADABLE_MEDIA,
        "/missing": ProblemType.FETCH_FAILED,
    }.items():
        problem = refused(ask(server, "images", portrait=site.url + path, motion=TURN), kind)
        assert "portrait" in problem["detail"]
        refused(ask(server, "portraits", portrait=site.url + path), kind)
    assert nothing_left(server)
    assert server.client.get("/v1/portraits").json()["portraits"] == []


def test_fetching_can_be_switched_off(start: Start, site: Site) -> None:
    server = start(fetch=False, fetch_private=True)
    problem = refused(ask(server, "images", portrait=f"{site.url}/me.jpg", motion=TURN), ProblemType.INVALID_ADDRESS)
    assert "here nothing is fetched" in problem["detail"]
    assert site.asked == []


def test_wrong_fields_are_refused_before_anything_is_fetched(start: Start, site: Site) -> None:
    server = start(fetch_private=True)
    refused(ask(server, "videos", portrait=f"{site.url}/me.jpg"), ProblemType.INVALID_REQUEST)
    assert site.asked == []


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("a", ProblemType.BAD_REQUEST, "the form cannot be read"),
        ("portrait=%FF", ProblemType.BAD_REQUEST, "the form cannot be read"),
        ("&".join(f"a{n}=" for n in range(20)), ProblemType.BAD_REQUEST, "the form cannot be read"),
        ("portrait=a&portrait=b", ProblemType.INVALID_ADDRESS, "portrait"),
        ("motion={}&motion={}", ProblemType.INVALID_REQUEST, "field 'motion' was sent twice"),
        ("optoins=1", ProblemType.INVALID_REQUEST, "unknown field 'optoins'"),
        ("portrait=&motion={}", ProblemType.INVALID_REQUEST, "field 'portrait' is missing"),
        ("motion=" + "1" * 2_000_000, ProblemType.TOO_LARGE, "the request"),
    ],
)
def test_what_is_wrong_in_an_urlencoded_form_is_named(server: Server, body: str, kind: ProblemType, said: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert said in refused(server.client.post("/v1/images", content=body, headers=headers), kind)["detail"]
    assert nothing_left(server)


def test_an_urlencoded_form_may_hold_a_data_uri(server: Server, portrait: bytes) -> None:
    job = server.client.post("/v1/images", data={"portrait": data_uri(portrait), "motion": json.dumps(TURN)}).json()
    assert job["input"]["portrait"]["bytes"] == len(portrait)
