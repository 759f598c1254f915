"""The Python client, both ways, against the running service."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path

import av
import httpx
import pytest
import soundfile
from PIL import Image

from pirenderer_client import (
    AsyncClient,
    Client,
    Event,
    InvalidRequestError,
    Job,
    JobFailedError,
    NotFoundError,
    Portrait,
    Progress,
    ServiceError,
    Voice,
    WebhookDelivery,
    WebhookTest,
)
from tests.support.lines import Line
from tests.support.processes import PORTRAIT, ROOT, Service, until
from tests.support.recorder import Answer, Recorder
from tests.support.tiny_weights import tiny_service

pytestmark = pytest.mark.slow

SPEECH = ROOT / "service" / "samples" / "speech.flac"
CROP = {"paste_back": False}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with tiny_service(tmp_path_factory.mktemp("service"), {"PIRENDERER_WEBHOOK_PRIVATE": "true"}) as service:
        yield service


@pytest.fixture(scope="module")
def url(service: Service) -> str:
    return str(service.client.base_url)


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture(scope="module")
def second() -> bytes:
    """One second of speech."""
    rate = soundfile.info(SPEECH).samplerate
    soundfile.write(sound := BytesIO(), soundfile.read(SPEECH, frames=rate)[0], rate, format="WAV")
    return sound.getvalue()


def test_it_poses_and_lets_speak(client: Client, second: bytes, tmp_path: Path) -> None:
    path = client.pose(PORTRAIT, controls={"yaw": 20, "smile": 0.4}, options={"format": "webp"}).save(
        tmp_path / "a.webp"
    )
    with Image.open(path) as image, Image.open(PORTRAIT) as before:
        assert (image.format, image.size) == ("WEBP", before.size)

    told: list[Progress] = []
    job = client.animate(str(PORTRAIT), audio=BytesIO(second), options={**CROP, "seed": 3}).wait(told.append)
    assert {progress.stage for progress in told} >= {"render"}
    assert job.result is not None
    with av.open(BytesIO(job.result_bytes())) as container:
        assert container.streams.video[0].frames == job.result.frames
        assert len(container.streams.audio) == 1
    assert job.stream_url is not None
    assert httpx.get(job.stream_url, trust_env=False).text.startswith("#EXTM3U")


def test_a_motion_goes_from_one_photo_to_another(client: Client, second: bytes) -> None:
    motion = json.loads(client.extract(PORTRAIT.read_bytes()).result_bytes())
    assert client.pose(PORTRAIT, motion=motion, options=CROP).wait().status == "succeeded"
    kept = client.keep_portrait(PORTRAIT)
    assert client.animate(kept, audio=second, options=CROP).wait().status == "succeeded"
    client.delete_portrait(kept)
    with pytest.raises(InvalidRequestError) as caught:
        client.animate(kept, audio=second)
    assert caught.value.name == "no-such-portrait"


def test_many_go_on_at_once(url: str, tmp_path: Path) -> None:
    async def one(client: AsyncClient, yaw: float) -> Path:
        job = await client.pose(PORTRAIT, controls={"yaw": yaw}, options=CROP)
        return await (await job.wait()).save(tmp_path / f"{yaw}.png")

    async def everything() -> list[Path]:
        async with AsyncClient(url) as client:
            spaces = await client.controls()
            assert "yaw" in {control.name for control in spaces[0].controls}
            return await asyncio.gather(*(one(client, yaw) for yaw in (-20, 0, 20)))

    assert len({path.read_bytes() for path in asyncio.run(everything())}) == 3


def test_what_is_refused_says_what_was_got_and_what_is_allowed(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match="yaw is 99; allowed is -45 to 45 degrees") as caught:
        client.pose(PORTRAIT, controls={"yaw": 99})
    error = caught.value
    assert f"# {error.name} {error.got} {error.allowed}\n" in (ROOT / "clients/python/README.md").read_text()
    with pytest.raises(NotFoundError, match="there is no job"):
        client.job("0" * 32)


def test_a_photo_without_a_face_fails(client: Client, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), "gray").save(tmp_path / "gray.png")
    job = client.extract(tmp_path / "gray.png")
    with pytest.raises(JobFailedError) as caught:
        job.save(tmp_path / "motion.json")
    assert (caught.value.name, caught.value.job.status) == ("no-face", "failed")
    assert not (tmp_path / "motion.json").exists()


def test_a_job_is_canceled_run_again_and_removed(client: Client) -> None:
    job = client.animate(PORTRAIT, audio=SPEECH, metadata=None)
    with pytest.raises(JobFailedError, match=r"^job \w+ canceled$") as caught:
        job.cancel().wait()
    assert job.status == "canceled"
    assert caught.value.name == "job-canceled"
    answer = httpx.get(result := job.document["urls"]["result"], trust_env=False).json()
    assert {**caught.value.problem, "instance": result} == answer
    again = job.rerun()
    assert again.id != job.id
    assert [each.id for each, _ in zip(client.jobs(), "ab", strict=False)] == [again.id, job.id]
    for each in (again, job):
        each.delete()
        with pytest.raises(NotFoundError):
            each.refresh()


def test_the_same_again_is_the_same_to_the_byte(client: Client, second: bytes) -> None:
    """What speaks draws a seed, which the job then shows: a rerun has it, and so has a new job that is given it."""
    job = client.animate(PORTRAIT, audio=second, options=CROP)
    made = job.result_bytes()
    assert job.rerun().result_bytes() == made
    seed = job.document["input"]["options"]["seed"]
    assert client.animate(PORTRAIT, audio=second, options={**CROP, "seed": seed}).result_bytes() == made
    assert client.animate(PORTRAIT, audio=second, options={**CROP, "seed": seed + 1}).result_bytes() != made


def test_the_environment_says_where_the_service_is(client: Client, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_URL", url)
    with Client() as found:
        assert found.controls() == client.controls()
    monkeypatch.delenv("PIRENDERER_URL")
    with Client() as found:
        assert found._server.url == "http://127.0.0.1:8000"


def test_the_speech_of_a_video_is_fetched(client: Client, url: str, second: bytes) -> None:
    job = client.animate(PORTRAIT, audio=second, options=CROP)
    assert job.speech is not None
    assert job.speech.media_type == "audio/wav"
    assert job.speech_bytes() == second
    listed = next(client.jobs())
    assert (listed.id, listed.speech) == (job.id, None)
    assert listed.speech_bytes() == second
    job.delete()

    async def mute() -> bytes:
        async with AsyncClient(url) as through:
            return await (await through.pose(PORTRAIT, controls={}, options=CROP)).speech_bytes()

    with pytest.raises(NotFoundError, match="made without speech"):
        asyncio.run(mute())


def test_portraits_are_listed(client: Client, url: str) -> None:
    async def listed() -> list[Portrait]:
        async with AsyncClient(url) as through:
            found = [each async for each in through.portraits()]
            assert [await through.portrait_bytes(each) for each in found] == [PORTRAIT.read_bytes()] * len(found)
            return found

    kept = [client.keep_portrait(PORTRAIT) for _ in range(2)]
    assert list(client.portraits()) == asyncio.run(listed()) == kept[::-1]
    for each in kept:
        assert client.portrait_bytes(each) == PORTRAIT.read_bytes()
        client.delete_portrait(each)
    assert list(client.portraits()) == []


def test_jobs_are_listed_by_when_they_were_made(client: Client) -> None:
    jobs = [client.pose(PORTRAIT, controls={}, options=CROP) for _ in range(2)]
    first, second = (datetime.fromisoformat(job.document["created_at"]) for job in jobs)
    assert [job.id for job in client.jobs(created_after=second)] == [jobs[1].id]
    assert [job.id for job in client.jobs(created_after=first, created_before=second)] == [jobs[0].id]
    with pytest.raises(InvalidRequestError, match="a time with its zone"):
        list(client.jobs(created_after=first.replace(tzinfo=None)))


def test_webhooks_are_tested_and_followed(client: Client, url: str) -> None:
    async def asked(job: Job) -> tuple[str, WebhookTest, list[WebhookDelivery]]:
        async with AsyncClient(url) as through:
            found = await through.webhook_deliveries(await through.job(job.id))
            return await through.webhook_secret(), await through.test_webhook(receiver.url), found

    with Recorder(Answer(None, 204)) as receiver:
        tried = client.test_webhook(receiver.url)
        assert (tried.event, tried.outcome, tried.status, tried.error) == ("webhook.test", "delivered", 204, None)
        assert [sent.headers["webhook-id"] for sent in receiver.sent] == [tried.message_id]
        job = client.pose(PORTRAIT, controls={}, options=CROP, webhook={"url": receiver.url}).wait()
        until(lambda: client.webhook_deliveries(job), "nothing was delivered")
        secret, tried, deliveries = asyncio.run(asked(job))
    assert secret == client.webhook_secret()
    assert secret.startswith("whsec_")
    assert tried.outcome == "delivered"
    assert [(each.job_id, each.event, each.outcome) for each in deliveries] == [(job.id, "job.succeeded", "delivered")]
    assert client.webhook_deliveries() == deliveries


def test_voices_are_listed(client: Client, url: str) -> None:
    async def listed() -> list[Voice]:
        async with AsyncClient(url) as through:
            return await through.voices()

    told = httpx.get(f"{url}/v1/voices", trust_env=False).json()["voices"]
    assert client.voices() == asyncio.run(listed()) == [Voice(**each) for each in told]


class Lost:
    """Loses the first answer, and knows whether it said that a job was made."""

    def __init__(self) -> None:
        self.said: bytes | None = None

    def __call__(self, data: bytes) -> bytes:
        if self.said is None:
            self.said = data
            raise ConnectionError
        return data


def test_a_job_whose_answer_was_lost_is_made_once(client: Client, url: str) -> None:
    def posed(url: str) -> str:
        with Client(url) as through:
            return through.pose(PORTRAIT, controls={"yaw": 1}, options=CROP).id

    async def posed_too(url: str) -> str:
        async with AsyncClient(url) as through:
            return (await through.pose(PORTRAIT, controls={"yaw": 1}, options=CROP)).id

    before = {job.id for job in client.jobs()}
    made = []
    for pose in (posed, lambda url: asyncio.run(posed_too(url))):
        with Line(url, lost := Lost()) as line:
            made.append(pose(line.url))
            assert lost.said is not None
            assert lost.said.startswith(b"HTTP/1.1 202")
    assert {job.id for job in client.jobs()} - before == set(made)
    assert len(set(made)) == 2


class Cut:
    """Cuts the line after the first events, each time that more come."""

    def __init__(self, times: int) -> None:
        self.left = times
        self._passed = False

    def __call__(self, data: bytes) -> bytes:
        if b"event: " in data and self.left:
            if self._passed:
                self.left -= 1
                self._passed = False
                raise ConnectionError
            self._passed = True
        return data


def followed(url: str, job_id: str) -> list[Event]:
    with Client(url) as client:
        return list(client.job(job_id).events())


def followed_too(url: str, job_id: str) -> list[Event]:
    async def follow() -> list[Event]:
        async with AsyncClient(url) as client:
            job = await client.job(job_id)
            found = [event async for event in job.events()]
            assert job.finished
            return found

    return asyncio.run(follow())


@pytest.mark.parametrize("follow", [followed, followed_too])
def test_events_go_on_where_the_line_was_cut(
    follow: Callable[[str, str], list[Event]], client: Client, url: str, second: bytes
) -> None:
    job = client.animate(PORTRAIT, audio=second, options=CROP)
    with Line(url, cut := Cut(2)) as line:
        events = follow(line.url, job.id)
        assert cut.left == 0
    assert events == list(client.job(job.id).events())
    assert events[-1].data["status"] == "succeeded"
    assert sum(event.ends for event in events) == 1


def test_a_result_that_was_garbled_on_its_way_is_refused(client: Client, url: str, tmp_path: Path) -> None:
    job = client.pose(PORTRAIT, controls={"yaw": 5}, options=CROP).wait()

    def garble(data: bytes) -> bytes:
        return data.replace(b"IDAT", b"IDAt")

    with Line(url, garble) as line, Client(line.url) as through, pytest.raises(ServiceError, match="SHA-256"):
        through.job(job.id).save(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
