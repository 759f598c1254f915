"""Creating jobs: what is queued, and when none is taken."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from jobs.messages import queue_key
from jobs.motions import ControlsMotion, FramesMotion, KeyframesMotion
from jobs.problems import ProblemType
from jobs.schemas import ImageSpec, JobKind, MotionSpec, VideoSpec
from tests.service.conftest import BOTH, DIMENSION, FIRST, SECOND, Server, Start, photo
from tests.support.heif import heic

YAW = '{"space": "open478", "controls": {"yaw": 20}}'
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(60)
MP4 = b"\0\0\0\x20ftypisom" + bytes(60)


def post(server: Server, call: str, files: dict[str, bytes], **texts: str) -> httpx.Response:
    """Send a form; every file under a name that must not matter."""
    named = {name: ("../../evil name.exe", data) for name, data in files.items()}
    return server.client.post(f"/v1/{call}", files=named, data=texts)


def refused(response: httpx.Response, kind: ProblemType) -> dict[str, Any]:
    """Check that a response is the problem `kind`, and hand it over."""
    problem: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, urlsplit(problem["type"]).path) == (kind.status, kind.uri), problem
    assert problem["status"] == kind.status
    assert problem["title"] == kind.title
    return problem


def nothing_left(server: Server) -> bool:
    """Whether a refused request left neither job nor file."""
    root: Path = server.artifacts.root
    return server.client.get("/v1/jobs").json()["jobs"] == [] and not list(root.glob("??/*"))


def test_an_image_job_is_queued_with_its_specification(server: Server, portrait: bytes) -> None:
    response = post(server, "images", {"portrait": portrait}, motion=YAW, options='{"format": "webp", "face": 1}')
    job = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == job["urls"]["self"] == f"{server.url}/v1/jobs/{job['id']}"
    assert (job["kind"], job["status"], job["queue_position"]) == ("image", "queued", 0)
    assert server.queued_messages("images") == [job["id"]]
    spec = server.claim(job["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert spec.motion == ControlsMotion(controls={"yaw": 20.0}, relative=True)
    assert (spec.options.format, spec.options.face, spec.options.paste_back) == ("webp", 1, True)
    assert (spec.portrait.key, spec.portrait.media_type) == (f"{job['id']}/portrait.jpg", "image/jpeg")
    assert server.artifacts.path(spec.portrait.key).read_bytes() == portrait


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_driving_image_serves_instead_of_a_motion(server: Server, form: str) -> None:
    response = post(server, "images", {"portrait": photo(form=form), "driving": photo(form="PNG")})
    spec = server.claim(response.json()["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert spec.motion is None
    assert spec.driving is not None
    assert spec.portrait.media_type == f"image/{form.lower()}"


@pytest.mark.parametrize(
    ("head", "media_type", "suffix"),
    [
        (WAV, "audio/wav", "wav"),
        (b"fLaC" + bytes(80), "audio/flac", "flac"),
        (b"OggS" + bytes(80), "audio/ogg", "ogg"),
        (b"ID3\x04" + bytes(80), "audio/mpeg", "mp3"),
        (b"\xff\xfb\x90\x00" + bytes(80), "audio/mpeg", "mp3"),
        (b"\0\0\0\x1cftypM4A " + bytes(80), "audio/mp4", "m4a"),
        (MP4, "audio/mp4", "m4a"),
        (b"\0\0\0\x14ftypqt  " + bytes(80), "audio/mp4", "m4a"),
        (b"\x1a\x45\xdf\xa3\x8b\x42\x82\x84webm" + bytes(80), "audio/webm", "webm"),
        (b"\x1a\x45\xdf\xa3\x8f\x42\x82\x88matroska" + bytes(80), "audio/matroska", "mka"),
        (b"\xff\xf1\x50\x80\x01\xff\xfc" + bytes(8) + b"\xff\xf1", "audio/aac", "aac"),
        (b"#!AMR\n" + bytes(80), "audio/amr", "amr"),
        (b"FORM\0\0\0\x20AIFFCOMM" + bytes(80), "audio/aiff", "aiff"),
        (bytes(300) + b"\xff\xfb\x90\x00" + bytes(80), "audio/mpeg", "mp3"),
        (b"RIFF\x24\0\0\0AVI LIST" + bytes(60), "video/x-msvideo", "avi"),
        (b"\x47" * 4096, "video/mp2t", "ts"),
    ],
)
def test_speech_is_recognised_by_its_content(
    server: Server, portrait: bytes, head: bytes, media_type: str, suffix: str
) -> None:
    response = post(
        server, "videos", {"portrait": portrait, "audio": head}, options='{"seed": 3, "still": true, "blink_rate": 12}'
    )
    job_id = response.json()["id"]
    assert server.queued_messages("videos") == [job_id]
    spec = server.claim(job_id).spec
    assert isinstance(spec, VideoSpec)
    assert spec.audio is not None
    assert (spec.audio.media_type, spec.audio.key) == (media_type, f"{job_id}/audio.{suffix}")
    assert (spec.options.seed, spec.options.still, spec.options.blink_rate) == (3, True, 12)


def test_a_video_takes_frames_keyframes_or_a_driving_video(server: Server, portrait: bytes) -> None:
    frames = {"space": "open478", "fps": 25, "frames": [[0.5] * DIMENSION] * 3}
    keyframes = {"keyframes": [{"t": 0, "controls": {"yaw": 0}}, {"t": 1.5, "controls": {"yaw": 30, "jaw_open": 1}}]}
    specs = [
        server.claim(post(server, "videos", {"portrait": portrait, **files}, **texts).json()["id"]).spec
        for files, texts in (
            ({}, {"motion": json.dumps(frames)}),
            ({}, {"motion": json.dumps(keyframes)}),
            ({"driving": MP4}, {}),
        )
    ]
    by_frames, by_keyframes, by_video = specs
    assert isinstance(by_frames, VideoSpec)
    assert by_frames.motion == FramesMotion(space="open478", fps=25.0, frames=[[0.5] * DIMENSION] * 3)
    assert isinstance(by_keyframes, VideoSpec)
    assert isinstance(by_keyframes.motion, KeyframesMotion)
    assert isinstance(by_video, VideoSpec)
    assert by_video.driving is not None
    assert by_video.driving.media_type == "video/mp4"


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"RIFF\x24\0\0\0AVI LIST" + bytes(60), "video/x-msvideo"),
        (b"\x47" * 4096, "video/mp2t"),
        (b"\x1a\x45\xdf\xa3\x8f\x42\x82\x88matroska" + bytes(80), "video/matroska"),
    ],
)
def test_a_driving_video_may_be_of_any_kind_that_workers_read(
    server: Server, portrait: bytes, head: bytes, media_type: str
) -> None:
    spec = server.claim(post(server, "videos", {"portrait": portrait, "driving": head}).json()["id"]).spec
    assert isinstance(spec, VideoSpec)
    assert spec.driving is not None
    assert spec.driving.media_type == media_type


def test_a_photo_may_be_a_heic(server: Server) -> None:
    picture = heic(np.zeros((64, 96, 3), np.uint8), turns=1)
    kept = server.client.post("/v1/portraits", files={"portrait": picture}).json()
    assert (kept["width"], kept["height"]) == (64, 96)
    spec = server.claim(post(server, "images", {"portrait": picture}, motion=YAW).json()["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert (spec.portrait.media_type, spec.portrait.key.rpartition(".")[2]) == ("image/heic", "heic")


@pytest.mark.parametrize("source", [photo(), MP4], ids=["image", "video"])
def test_a_motion_job_takes_an_image_or_a_video(server: Server, source: bytes) -> None:
    job_id = post(server, "motions", {"source": source}).json()["id"]
    assert server.queued_messages("motions") == [job_id]
    assert isinstance(server.claim(job_id).spec, MotionSpec)


def test_an_overlay_is_asked_for_by_an_option(server: Server) -> None:
    job_id = post(server, "motions", {"source": photo()}, options='{"overlay": true, "face": 1}').json()["id"]
    spec = server.claim(job_id).spec
    assert isinstance(spec, MotionSpec)
    assert (spec.options.overlay, spec.options.face) == (True, 1)


SQUARE = {"x": -3.5, "y": 20.0, "side": 349.1}


@pytest.mark.parametrize(
    ("call", "read"),
    [
        ("images", {"coefficients": [0.5] * DIMENSION, "confidence": 0.98, "crop": SQUARE}),
        (
            "videos",
            {
                "fps": 25,
                "frames": [[0.5] * DIMENSION] * 2,
                "confidence": [0.98, 0.1],
                "shots": [{"start": 0, "crop": SQUARE}, {"start": 1, "crop": SQUARE}],
            },
        ),
    ],
)
def test_what_extraction_tells_beside_a_motion_is_taken_with_it(
    server: Server, portrait: bytes, call: str, read: dict[str, Any]
) -> None:
    document = {"space": "open478", **read}
    job_id = post(server, call, {"portrait": portrait}, motion=json.dumps(document)).json()["id"]
    spec = server.claim(job_id).spec
    assert isinstance(spec, ImageSpec | VideoSpec)
    assert spec.motion is not None
    assert spec.motion.model_dump() == document


def test_how_a_driver_drives_is_an_option_of_images_and_videos(server: Server, portrait: bytes) -> None:
    sent = {"driving_relative": True, "driving_face": 1, "pose_scale": 0.5, "expression_scale": 1.5}
    for kind, driving, usually in (("images", portrait, False), ("videos", MP4, True)):
        files = {"portrait": portrait, "driving": driving}
        asked, unasked = (
            server.claim(post(server, kind, files, options=json.dumps(options)).json()["id"]).spec.options
            for options in (sent | {"driving_relative": not usually}, {})
        )
        assert asked.model_dump(include=set(sent)) == sent | {"driving_relative": not usually}
        assert unasked.driving_relative is usually  # type: ignore[union-attr]
        for name, value, text in (
            ("driving_relative", "half", "boolean"),
            ("pose_scale", 4, "less than or equal to 3"),
        ):
            problem = refused(post(server, kind, files, options=json.dumps({name: value})), ProblemType.INVALID_OPTIONS)
            assert problem["errors"][0]["field"] == f"options.{name}"
            assert text in problem["detail"]


def test_speech_and_a_driving_video_come_together(server: Server, portrait: bytes) -> None:
    files = {"portrait": portrait, "audio": WAV, "driving": MP4}
    spec = server.claim(post(server, "videos", files).json()["id"]).spec
    assert isinstance(spec, VideoSpec)
    assert spec.audio is not None
    assert spec.driving is not None
    problem = refused(post(server, "videos", {"portrait": portrait}), ProblemType.INVALID_REQUEST)
    assert "at least one of motion, audio, text, driving is needed, got none" in problem["detail"]


def test_a_motion_stands_beside_speech_or_a_driving_video(server: Server, portrait: bytes) -> None:
    smile = json.dumps({"controls": {"jaw_open": 0.4}})
    nod = json.dumps({"keyframes": [{"t": 0.0, "controls": {}}, {"t": 1.0, "controls": {"yaw": 5.0}}]})
    still = json.dumps({"space": "open478", "coefficients": [0.5] * DIMENSION})
    frames, many = (
        json.dumps({"space": "open478", "fps": 25, "frames": [[0.5] * DIMENSION] * count}) for count in (3, 1000)
    )
    speech, driver = {"portrait": portrait, "audio": WAV}, {"portrait": portrait, "driving": MP4}
    for files, motions in (
        (speech, (smile, nod, still, frames, many)),
        (driver, (smile, nod)),
        ({**speech, **driver}, (smile, nod)),
    ):
        for motion in motions:
            assert post(server, "videos", files, motion=motion).status_code == 202
    for files in (driver, {**speech, **driver}):
        for motion in (still, frames, many):
            problem = refused(post(server, "videos", files, motion=motion), ProblemType.INVALID_MOTION)
            assert problem["allowed"] == ["controls", "keyframes"]
    problem = refused(post(server, "videos", {"portrait": portrait}, motion=smile), ProblemType.INVALID_MOTION)
    assert problem["allowed"] == ["frames", "keyframes"]


def test_a_long_motion_lies_in_a_file(server: Server, portrait: bytes) -> None:
    text = json.dumps({"space": "open478", "frames": [[0.123456789] * DIMENSION] * 500})
    headers = {"Idempotency-Key": "long"}

    def ask(motion: str) -> httpx.Response:
        form = {"portrait": portrait, "motion": (None, motion)}
        return server.client.post("/v1/videos", files=form, headers=headers)  # type: ignore[arg-type]

    job = ask(text).json()["id"]
    claim = server.claim(job)
    spec = claim.spec
    assert isinstance(spec, VideoSpec)
    assert spec.motion is None
    assert spec.motion_file is not None
    assert server.artifacts.path(spec.motion_file.key).read_text() == text
    assert server.context.redis.strlen(f"pirenderer:job:{job}:spec") < 2000
    assert ask(text).json()["id"] == job
    refused(ask(text.replace("0.123456789", "0.987654321")), ProblemType.IDEMPOTENCY_MISMATCH)
    server.context.store.claims.cancel(claim)
    again = server.spec(server.client.post(f"/v1/jobs/{job}/rerun").json()["id"])
    server.client.delete(f"/v1/jobs/{job}")
    assert isinstance(again, VideoSpec)
    assert again.motion_file is not None
    assert server.artifacts.path(again.motion_file.key).read_text() == text


def test_many_motions_lie_in_a_file_and_count_each(start: Start, portrait: bytes) -> None:
    server = start(api_keys="key" * 11, quota="100/day")
    server.client.headers["X-API-Key"] = "key" * 11
    motions = json.dumps([{"space": "open478", "coefficients": [0.123456789] * DIMENSION}] * 60) + " " * 20_000

    def ask() -> httpx.Response:
        return server.client.post("/v1/images", files={"portrait": portrait, "motions": (None, motions)})

    job = ask().json()
    assert refused(ask(), ProblemType.TOO_MANY_REQUESTS)["got"] == 60
    spec = server.spec(job["id"])
    assert isinstance(spec, ImageSpec)
    assert spec.motions is None
    assert spec.motion_count == 60
    server.client.post(job["urls"]["cancel"])
    refused(server.client.post(f"{job['urls']['self']}/rerun"), ProblemType.TOO_MANY_REQUESTS)


@pytest.mark.parametrize("again", [False, True])
def test_a_job_whose_message_cannot_be_sent_is_none(server: Server, portrait: bytes, again: bool) -> None:
    redis, queue = server.context.redis, queue_key(JobKind.IMAGE)
    call, files = "/v1/images", {"portrait": portrait, "motion": (None, YAW)}
    jobs = []
    if again:
        job = server.client.post(call, files=files).json()  # type: ignore[arg-type]
        server.client.post(job["urls"]["cancel"])
        call, files, jobs = f"{job['urls']['self']}/rerun", {}, [job["id"]]
    redis.delete(queue)
    redis.set(queue, "is no list")
    refused(server.client.post(call, files=files or None), ProblemType.UNAVAILABLE)  # type: ignore[arg-type]
    redis.delete(queue)
    assert [each["id"] for each in server.client.get("/v1/jobs").json()["jobs"]] == jobs
    assert [path.name for path in server.artifacts.root.glob("??/*")] == jobs


def test_without_models_jobs_are_refused(start: Start, portrait: bytes, weights_dir: Path) -> None:
    (weights_dir / "speech.safetensors").unlink()
    server = start()
    response = post(server, "videos", {"portrait": portrait, "audio": WAV})
    assert "no audio model is installed" in refused(response, ProblemType.NO_MODEL)["detail"]
    assert post(server, "images", {"portrait": portrait}, motion=YAW).status_code == 202
    (weights_dir / "light.json").write_text("{broken")
    without_renderer = start()
    response = post(without_renderer, "images", {"portrait": portrait}, motion=YAW)
    assert "no renderer model is installed" in refused(response, ProblemType.NO_MODEL)["detail"]
    assert post(without_renderer, "motions", {"source": portrait}).status_code == 202


def test_one_owner_may_not_fill_the_queue(start: Start, portrait: bytes) -> None:
    server = start(api_keys=BOTH, queue_limit=3, queue_share=2, retry_after_s=7)

    def ask(key: str) -> httpx.Response:
        files, data = {"portrait": portrait}, {"motion": YAW}
        return server.client.post("/v1/images", files=files, data=data, headers={"X-API-Key": key})

    assert [ask(FIRST).status_code for _ in range(2)] == [202, 202]
    most = ask(FIRST)
    problem = refused(most, ProblemType.TOO_MANY_REQUESTS)
    assert problem["detail"] == "2 image jobs of this key's owner are waiting, which is all one owner may have"
    assert most.headers["retry-after"] == "7"
    job = ask(SECOND).json()
    assert (job["queue_position"], job["estimated_wait_s"]) == (1, None)  # before the other's second one
    refused(ask(SECOND), ProblemType.QUEUE_FULL)


def test_a_full_queue_asks_to_come_back(start: Start, portrait: bytes) -> None:
    server = start(queue_limit=1, retry_after_s=7)
    assert post(server, "images", {"portrait": portrait}, motion=YAW).status_code == 202
    full = post(server, "images", {"portrait": portrait}, motion=YAW)
    assert "1 image jobs are waiting" in refused(full, ProblemType.QUEUE_FULL)["detail"]
    assert full.headers["retry-after"] == "7"
    assert post(server, "motions", {"source": portrait}).status_code == 202
