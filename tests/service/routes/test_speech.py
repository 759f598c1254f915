"""The sound that a video speaks with, as it can be fetched."""

import httpx
import pytest

from jobs.files.keys import new_id
from jobs.problems import Problem, ProblemType
from jobs.schemas import InputFile, JobStatus, VideoSpec
from service.access.throttle import OPEN_OWNER
from tests.service.conftest import BOTH, FIRST, SECOND, Server, Start, photo
from tests.service.routes.test_create import YAW, refused
from tests.support.buckets import Bucket
from tests.support.processes import until
from tests.support.speech_server import tone

SOUND = tone()


def create(server: Server, **headers: str) -> str:
    """A video job with speech."""
    files = {"portrait": photo(), "audio": SOUND}
    response = server.client.post("/v1/videos", files=files, headers=headers)
    assert response.status_code == 202
    return str(response.json()["id"])


def get(server: Server, job_id: str, **headers: str) -> httpx.Response:
    return server.client.get(f"/v1/jobs/{job_id}/speech", headers=headers)


def test_it_is_there_from_the_start_whatever_becomes_of_the_job(server: Server) -> None:
    failed, canceled = create(server), create(server)
    for act in (
        lambda: None,
        lambda: server.context.store.claims.fail(server.claim(failed), Problem.of(ProblemType.NO_FACE, "no face")),
        lambda: server.client.post(f"/v1/jobs/{canceled}/cancel"),
    ):
        act()
        for job_id in (failed, canceled):
            response = get(server, job_id)
            assert (response.status_code, response.content) == (200, SOUND)
            assert response.headers["content-type"] == "audio/wav"
            assert response.headers["content-disposition"] == f'inline; filename="{job_id}-speech.wav"'
            assert response.headers["cache-control"] == "private, no-cache"


def test_heads_and_ranges_are_answered(server: Server) -> None:
    job_id = create(server)
    head = server.client.head(f"/v1/jobs/{job_id}/speech")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(SOUND)))
    part = get(server, job_id, Range="bytes=0-3")
    assert (part.status_code, part.content) == (206, b"RIFF")
    refused(get(server, job_id, Range="bytes=999999-"), ProblemType.RANGE_NOT_SATISFIABLE)


def test_a_text_that_was_spoken_is_its_audio(server: Server) -> None:
    job_id = new_id()
    server.artifacts.create_folder(job_id)
    stored = {
        name: server.artifacts.put(job_id, name, [data]) for name, data in {"p.jpg": photo(), "a.mp3": b"ID3"}.items()
    }
    spec = VideoSpec(
        portrait=InputFile(media_type="image/jpeg", **vars(stored["p.jpg"])),
        audio=InputFile(media_type="audio/mpeg", **vars(stored["a.mp3"])),
        text="Good morning.",
        voice="alloy",
    )
    server.context.store.create(job_id, spec, owner=OPEN_OWNER)
    kept = server.spec(job_id)
    assert isinstance(kept, VideoSpec)
    assert (kept.text, kept.voice) == ("Good morning.", "alloy")
    response = get(server, job_id)
    assert (response.content, response.headers["content-type"]) == (b"ID3", "audio/mpeg")


def test_what_has_no_speech_is_told_from_what_is_no_job(server: Server) -> None:
    files, data = {"portrait": photo()}, {"motion": YAW}
    image = server.client.post("/v1/images", files=files, data=data).json()["id"]
    sway = '{"keyframes": [{"t": 0, "controls": {}}, {"t": 1, "controls": {"yaw": 15}}]}'
    silent = server.client.post("/v1/videos", files=files, data={"motion": sway}).json()["id"]
    for job_id in (image, silent):
        problem = refused(get(server, job_id), ProblemType.NOT_FOUND)
        assert problem["detail"] == f"job {job_id} was made without speech, so there is none"
    for job_id in (new_id(), "nonsense"):
        assert "there is no job" in refused(get(server, job_id), ProblemType.NOT_FOUND)["detail"]


def test_it_is_seen_by_its_owner_alone(start: Start) -> None:
    server = start(api_keys=BOTH)
    key = {"X-API-Key": FIRST}
    job_id = create(server, **key)
    assert get(server, job_id, **key).content == SOUND
    refused(get(server, job_id, **{"X-API-Key": SECOND}), ProblemType.NOT_FOUND)
    refused(get(server, job_id), ProblemType.UNAUTHORIZED)


def test_it_goes_with_its_job(start: Start) -> None:
    server = start(retention_s=0.2)
    job_id = create(server)
    server.succeed(job_id)

    def expired() -> bool:
        record = server.context.store.get(job_id)
        return record is not None and record.status is JobStatus.EXPIRED

    until(expired, "it does not expire")
    refused(get(server, job_id), ProblemType.JOB_EXPIRED)
    assert server.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    refused(get(server, job_id), ProblemType.NOT_FOUND)


@pytest.mark.slow
def test_it_comes_from_a_bucket(start: Start, bucket: Bucket) -> None:
    server = start(housekeeping_s=3600, **bucket.settings)
    job_id = create(server)
    there = get(server, job_id)
    assert (there.status_code, there.headers["cache-control"]) == (307, "no-store")
    sound = httpx.get(there.headers["location"])
    assert (sound.content, sound.headers["content-type"]) == (SOUND, "audio/wav")
    head = server.client.head(f"/v1/jobs/{job_id}/speech", follow_redirects=True)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(SOUND)))
