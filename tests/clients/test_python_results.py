"""Results as the Python client fetches and writes them."""

import asyncio
from pathlib import Path

import pytest

from pirenderer_client import (
    AsyncClient,
    Client,
    JobFailedError,
    ServiceError,
)
from tests.clients.test_python_calls import JOB, done, problem
from tests.support.recorder import Answer, Recorder


def test_a_result_elsewhere_is_fetched_without_the_key(tmp_path: Path) -> None:
    with Recorder(Answer(b"result")) as bucket:
        away = Answer(b"", 307, {"Location": f"{bucket.url}/signed?signature=1"})
        with Recorder(Answer(done(b"result")), away) as server, Client(server.url, api_key="secret") as client:
            assert client.job("x").save(tmp_path / "made" / "a.png").read_bytes() == b"result"
    assert [sent.path for sent in bucket.sent] == ["/signed?signature=1"]
    assert bucket.sent[0].headers["authorization"] is None
    assert server.sent[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("came", "text", "tries"),
    [
        (b"resulT", "the SHA-256 of the file is", 1),
        (b"result and more", "more than the 6 bytes", 1),
        (b"res", "3 of the file's 6 bytes came", 2),
    ],
)
def test_a_result_that_is_not_what_was_made_is_refused(came: bytes, text: str, tries: int, tmp_path: Path) -> None:
    with Recorder(Answer(done(b"result")), Answer(came)) as server, Client(server.url, retries=1) as client:
        job = client.job("x")
        with pytest.raises(ServiceError, match=text):
            job.save(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
    assert len(server.sent) == 1 + tries


@pytest.mark.parametrize(
    ("name", "kind", "media_type", "text"),
    [
        ("b.jpg", "image", "image/png", 'image/png; allowed is .png; options={"format": "jpeg"} asks for .jpg'),
        ("b.PNG", "image", "image/jpeg", 'allowed is .jpg or .jpeg; options={"format": "png"} asks for .PNG'),
        ("b.mp4", "video", "video/webm", 'allowed is .webm; options={"format": "mp4"} asks for .mp4'),
        ("b.mp4", "image", "image/png", "allowed is .png$"),
        ("b.png", "image", "application/zip", "allowed is .zip$"),
        ("b.zip", "motion", "application/json", "allowed is .json$"),
    ],
)
def test_a_suffix_of_another_format_is_refused(
    name: str, kind: str, media_type: str, text: str, tmp_path: Path
) -> None:
    with Recorder(Answer({**done(b"a", media_type=media_type), "kind": kind})) as server:
        with Client(server.url) as client, pytest.raises(ValueError, match=text):
            client.job("x").save(tmp_path / "made" / name)

        async def save() -> None:
            async with AsyncClient(server.url) as client:
                await (await client.job("x")).save(tmp_path / "made" / name)

        with pytest.raises(ValueError, match=text):
            asyncio.run(save())
    assert {sent.path for sent in server.sent} == {"/v1/jobs/x"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.PNG", "image/png"), ("a.jpeg", "image/jpeg"), ("a.jpg", "image/jpeg"), ("a", "image/png"),
     ("a.2", "image/png"), ("a.new", "image/new")],
)  # fmt: skip
def test_other_suffixes_are_taken(name: str, media_type: str, tmp_path: Path) -> None:
    with Recorder(Answer(done(b"a", media_type=media_type)), Answer(b"a")) as server, Client(server.url) as client:
        assert client.job("x").save(tmp_path / name).read_bytes() == b"a"


def test_a_job_that_has_expired_says_so() -> None:
    with Recorder(Answer({**JOB, "status": "expired"})) as server, Client(server.url) as client:
        job = client.job("x")
        with pytest.raises(JobFailedError, match=r"^job 0+ expired$") as caught:
            job.wait()
    assert (caught.value.name, caught.value.status) == ("job-expired", 410)
    assert caught.value.type == f"{server.url}/problems/job-expired"


def test_a_job_that_did_not_succeed_says_why() -> None:
    failed = {**JOB, "status": "failed", "error": problem(422, "no-face", got=0)}
    with Recorder(Answer(failed)) as server, Client(server.url) as client:
        job = client.job("x")
        with pytest.raises(JobFailedError, match=r"^job 0+ failed: No: not so$") as caught:
            job.result_bytes()
    assert caught.value.job is job
    assert (caught.value.name, caught.value.got) == ("no-face", 0)
    assert job.error is not None
    assert job.error.name == "no-face"
