"""The front-end on a bucket: results by signed address, uploads and deletions there; and what it does without it."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from jobs.files.opening import make_artifacts
from jobs.problems import Problem, ProblemType
from jobs.schemas import ImageSpec
from service.background import upkeep as housekeeping
from service.background.upkeep import sweep, tidy
from service.cli import app
from service.settings import Settings
from tests.service.conftest import BOTH, FIRST, SECOND, Server, Start, photo
from tests.service.routes.test_create import YAW, refused
from tests.support.buckets import CREDENTIALS, Bucket, S3Server
from tests.support.processes import PATIENCE_S

KEYS = {"api_keys": BOTH, "housekeeping_s": 3600}


@pytest.fixture
def server(start: Start, bucket: Bucket) -> Server:
    """A server that keeps its files in the bucket; two owners have keys."""
    server = start(**KEYS, **bucket.settings)
    server.client.headers["X-API-Key"] = FIRST
    return server


def post(server: Server, data: bytes, **headers: str) -> httpx.Response:
    return server.client.post("/v1/images", files={"portrait": data}, data={"motion": YAW}, headers=headers)


def done(server: Server, data: bytes) -> str:
    """A finished job with the result `data`."""
    job_id = str(post(server, photo()).json()["id"])
    server.succeed(job_id, data)
    return job_id


@contextmanager
def away(s3_server: S3Server) -> Iterator[None]:
    s3_server.stop()
    try:
        yield
    finally:
        s3_server.start()


def test_a_result_is_fetched_from_the_bucket(server: Server, bucket: Bucket) -> None:
    job_id = done(server, b"0123456789")
    path = f"/v1/jobs/{job_id}/result"
    answer = server.client.get(path)
    url = answer.headers["location"]
    assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
    assert url.startswith(f"{bucket.settings['s3_endpoint_url']}/{bucket.settings['s3_bucket']}/{job_id}/result-")
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in url
    there = httpx.get(url, headers={"Range": "bytes=2-4"})
    assert (there.status_code, there.content, there.headers["content-type"]) == (206, b"234", "image/png")
    assert there.headers["content-disposition"] == f'inline; filename="{job_id}.png"'
    assert server.client.get(path, follow_redirects=True).content == b"0123456789"
    head = server.client.head(path, follow_redirects=True)
    assert (head.status_code, head.headers["content-length"]) == (200, "10")
    etag = f'"{server.client.get(f"/v1/jobs/{job_id}").json()["result"]["sha256"]}"'
    assert server.client.get(path, headers={"If-None-Match": etag}).status_code == 304
    refused(server.client.get(path, headers={"Range": "bytes=10-"}), ProblemType.RANGE_NOT_SATISFIABLE)
    for stranger, kind in ((SECOND, ProblemType.NOT_FOUND), ("wrong", ProblemType.UNAUTHORIZED)):
        nothing = server.client.get(path, headers={"X-API-Key": stranger})
        refused(nothing, kind)
        assert "location" not in nothing.headers
    bucket.client.delete_object(Bucket=bucket.settings["s3_bucket"], Key=url.partition("?")[0].split("/", 4)[4])
    refused(server.client.get(path), ProblemType.JOB_EXPIRED)


def test_the_page_may_fetch_from_there(server: Server, bucket: Bucket) -> None:
    policy = server.client.get("/").headers["content-security-policy"]
    assert f"connect-src 'self' {bucket.settings['s3_endpoint_url']}" in policy.split("; ")


@contextmanager
def elsewhere(status: int) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A host that answers every GET with `status` and remembers what headers came."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"the result")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{host.server_port}", seen
        finally:
            host.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 403])
def test_submit_fetches_from_there_and_keeps_its_key_to_itself(
    start: Start, bucket: Bucket, tmp_path: Path, status: int
) -> None:
    source, output = tmp_path / "me.jpg", tmp_path / "out.png"
    source.write_bytes(photo())
    with elsewhere(status) as (url, seen):
        server = start(**KEYS, **bucket.settings, s3_public_url=url)

        def work() -> None:
            while not (jobs := server.queued_messages("images")):
                pass
            server.succeed(jobs[0], b"the result")

        worker = threading.Thread(target=work)
        worker.start()
        arguments = ["submit", str(source), "--control", "yaw=20", "--url", server.url, "-o", str(output)]
        result = CliRunner().invoke(app, [*arguments, "--api-key", FIRST])
        worker.join()
    assert len(seen) == 1
    assert {"authorization", "x-api-key", "cookie"}.isdisjoint(seen[0])
    assert FIRST not in str(seen)
    if status == 200:
        assert result.exit_code == 0, result.output
        assert output.read_bytes() == b"the result"
    else:
        assert result.exit_code == 1
        assert "answered 403" in result.stderr
        assert "Signature" not in result.output
        assert not output.exists()


def test_what_is_refused_leaves_nothing(start: Start, bucket: Bucket, tmp_path: Path) -> None:
    server = start(**KEYS, **bucket.settings, max_portrait_bytes=5000)
    server.client.headers["X-API-Key"] = FIRST
    refused(post(server, photo() + bytes(5000)), ProblemType.TOO_LARGE)
    refused(post(server, b"\xff\xd8\xff" + bytes(100)), ProblemType.UNREADABLE_MEDIA)
    refused(post(server, b"no photo"), ProblemType.UNSUPPORTED_MEDIA)
    files = {"portrait": photo()}
    refused(server.client.post("/v1/images", files=files, data={"motion": "{}x"}), ProblemType.BAD_REQUEST)
    assert bucket.names() == []
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == ["webhooks.key"]


def test_portraits_are_copied_into_jobs_and_jobs_into_reruns(server: Server, bucket: Bucket) -> None:
    data = photo(70, 50)
    portrait = server.client.post("/v1/portraits", files={"portrait": data}).json()
    assert (portrait["width"], portrait["height"]) == (70, 50)
    form = {"portrait_id": (None, portrait["id"]), "motion": (None, YAW)}
    job = server.client.post("/v1/images", files=form).json()
    server.client.delete(portrait["urls"]["self"])
    server.context.store.claims.fail(server.claim(job["id"]), Problem.of(ProblemType.NO_FACE, "no face"))
    again = server.client.post(f"/v1/jobs/{job['id']}/rerun").json()
    server.client.delete(job["urls"]["self"])
    spec = server.claim(again["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert bucket.names() == [f"{again['id']}/", spec.portrait.key]
    with server.context.artifacts.reading(spec.portrait.key) as path:
        assert path.read_bytes() == data
    server.client.delete(again["urls"]["self"])
    assert bucket.names() == []


def test_while_the_bucket_is_away_requests_may_be_sent_again(
    server: Server, s3_server: S3Server, bucket: Bucket, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, doomed = done(server, b"the result"), done(server, b"x")
    asks: list[Callable[[], httpx.Response]] = [
        lambda: post(server, portrait, **{"Idempotency-Key": "k"}),
        lambda: server.client.post("/v1/portraits", files={"portrait": portrait}),
        lambda: server.client.get(f"/v1/jobs/{job_id}/result"),
        lambda: server.client.get("/readyz"),
        lambda: server.client.delete(f"/v1/jobs/{doomed}"),
    ]
    with away(s3_server):
        for ask in asks:
            answer = ask()
            problem = refused(answer, ProblemType.UNAVAILABLE)
            assert problem["detail"] == "the artifact store does not answer (EndpointConnectionError)"
            assert int(answer.headers["retry-after"]) > 0
        assert server.client.get(f"/v1/jobs/{job_id}").json()["status"] == "succeeded"
        assert server.client.get("/healthz").status_code == 200
    time.sleep(1.1)  # /readyz asks the stores once a second
    assert [ask().status_code for ask in asks] == [202, 201, 307, 200, 404]
    assert any(doomed in key for key in bucket.names())
    monkeypatch.setattr(housekeeping, "SWEEP_OLDER_THAN_S", -60)
    sweep(server.context)  # now the deleted job's files go, too
    assert not any(doomed in key for key in bucket.names())
    assert any(job_id in key for key in bucket.names())


def test_files_that_could_not_be_removed_when_their_job_expired_are_swept(
    start: Start, s3_server: S3Server, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(**{**KEYS, **bucket.settings, "retention_s": 1})
    server.client.headers["X-API-Key"] = FIRST
    jobs = [done(server, b"x") for _ in range(2)]
    time.sleep(2.1)
    with away(s3_server):
        tidy(server.context)
    assert {server.client.get(f"/v1/jobs/{job_id}").json()["status"] for job_id in jobs} == {"expired"}
    assert len(bucket.names()) == 6
    monkeypatch.setattr(housekeeping, "SWEEP_OLDER_THAN_S", -60)
    sweep(server.context)
    assert bucket.names() == []


def test_a_bucket_that_hangs_holds_up_nobody_else(start: Start, bucket: Bucket, portrait: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = start(**{**bucket.settings, "s3_endpoint_url": silent_url, "housekeeping_s": 3600})
        answers: list[httpx.Response] = []
        upload = threading.Thread(target=lambda: answers.append(post(server, portrait)))
        upload.start()
        connections = [silent.accept()[0]]  # by now it waits for the bucket
        with httpx.Client(base_url=server.url) as other:
            for _ in range(20):
                assert other.get("/v1/jobs").status_code == 200
        assert answers == []  # it waits for the bucket still
    for connection in connections:
        connection.close()
    upload.join(PATIENCE_S)
    refused(answers[0], ProblemType.UNAVAILABLE)


@pytest.mark.slow
def test_doctor_tries_the_bucket(
    redis_url: str, s3_server: S3Server, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {**bucket.environment, "PIRENDERER_DATA_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIRENDERER_REDIS_URL", redis_url)

    def said() -> str:
        return " ".join(CliRunner().invoke(app, ["doctor"]).stdout.split())

    assert f"✓ S3: the bucket {bucket.settings['s3_bucket']} keeps files" in said()
    assert bucket.names() == []
    with away(s3_server):
        assert "✗ S3: the artifact store does not answer (EndpointConnectionError)" in said()
    monkeypatch.setenv("PIRENDERER_S3_BUCKET", "nobodys")
    assert "✗ S3: the artifact store answers NoSuchBucket" in said()
    monkeypatch.delenv("PIRENDERER_S3_BUCKET")
    assert "S3" not in said()


def test_settings_of_the_bucket_are_checked() -> None:
    assert Settings(s3_prefix="/a/b").s3_prefix == "a/b/"
    assert Settings(s3_prefix="/").s3_prefix == ""
    assert make_artifacts(Settings(s3_bucket="")).origin is None  # as compose gives what is not set
    with pytest.raises(ValueError, match="less than or equal to 604800"):
        Settings(s3_url_lifetime_s=604_801)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["api", "serve", "worker"])
def test_no_command_begins_with_a_store_that_cannot_be_used(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"S3_BUCKET": "b-b", "S3_ENDPOINT_URL": "storage", "DATA_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(f"PIRENDERER_{name}", value)
    arguments = [sys.executable, "-m", "service.cli", command]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert ended.returncode == 2
    assert "error: the bucket 'b-b' cannot be used: Invalid endpoint: storage" in ended.stderr
