"""Creating jobs: what is queued, what is refused and how."""

import io
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from jobs.media_types import IMAGE_TYPES
from jobs.messages import queue_key
from jobs.motions import ControlsMotion, FramesMotion, KeyframesMotion
from jobs.problems import ProblemType
from jobs.schemas import ImageOptions, ImageSpec, JobKind, MotionSpec, VideoSpec
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


BAD_MOTIONS = [
    ("{", ProblemType.BAD_REQUEST, "motion: Invalid JSON"),
    ("[]", ProblemType.INVALID_MOTION, "exactly one of controls, coefficients, frames, keyframes"),
    ('{"controls": {}, "coefficients": []}', ProblemType.INVALID_MOTION, "exactly one of"),
    ('{"space": "bfm-deep3d", "controls": {"yaw": 1}}', ProblemType.WRONG_MOTION_SPACE, "'bfm-deep3d'.*open478"),
    ('{"controls": {"nose": 1}}', ProblemType.INVALID_MOTION, "no control 'nose'; space open478 has yaw, jaw_open"),
    ('{"controls": {"yaw": 90}}', ProblemType.INVALID_MOTION, "yaw is 90; allowed is -45 to 45 degrees"),
    ('{"controls": {"jaw_open": -0.5}}', ProblemType.INVALID_MOTION, "jaw_open is -0.5; allowed is 0 to 1"),
    ('{"controls": {"yaw": NaN}}', ProblemType.INVALID_MOTION, "^motion.controls.yaw: .* finite number, got 'nan'"),
    ('{"controls": {"yaw": Infinity}}', ProblemType.INVALID_MOTION, "finite number"),
    ('{"controls": {"yaw": "far"}}', ProblemType.INVALID_MOTION, "valid number"),
    ('{"controls": {"yaw": 1}, "relatif": true}', ProblemType.INVALID_MOTION, "relatif: there is no such field"),
    ('{"space": "open478", "coefficients": [0, 0]}', ProblemType.INVALID_MOTION, "has 2 numbers; space open478 has 6"),
    ('{"space": "open478", "coefficients": [0,0,0,0,0,NaN]}', ProblemType.INVALID_MOTION, "finite number"),
    ('{"coefficients": [0,0,0,0,0,0]}', ProblemType.INVALID_MOTION, "space: Field required"),
    (
        '{"space": "open478", "frames": [[0,0,0,0,0,0]]}',
        ProblemType.INVALID_MOTION,
        "controls or coefficients, got frames",
    ),
]


@pytest.mark.parametrize(("motion", "kind", "text"), BAD_MOTIONS)
def test_a_bad_motion_of_an_image_is_refused(
    server: Server, portrait: bytes, motion: str, kind: ProblemType, text: str
) -> None:
    problem = refused(post(server, "images", {"portrait": portrait}, motion=motion), kind)
    assert pytest.raises(AssertionError, match=text).matches(AssertionError(problem["detail"]))
    assert nothing_left(server)


@pytest.mark.parametrize(
    ("motion", "text"),
    [
        ({"controls": {"yaw": 1}}, "a video needs a motion of frames or keyframes, got controls"),
        ({"space": "open478", "frames": [[0] * 6, [0] * 5]}, "motion.frames.1 has 5 numbers; space open478 has 6"),
        ({"space": "open478", "frames": []}, "at least 1 item"),
        ({"space": "open478", "frames": [[0] * 6], "fps": 0}, "greater than or equal to 1"),
        ({"keyframes": [{"t": 1, "controls": {}}, {"t": 1, "controls": {}}]}, "rise strictly, got t = 1 after t = 1"),
        ({"keyframes": [{"t": 0, "controls": {"yaw": 46}}]}, "keyframes.0.controls.yaw is 46"),
        (
            {"keyframes": [{"t": 301, "controls": {}}]},
            "keyframes.0.t: Input should be less than or equal to 300, got 301",
        ),
        (
            {"space": "open478", "frames": [[0] * 6] * 602, "fps": 2},
            "602 frames at 2 fps last 301 seconds; allowed are 300",
        ),
    ],
)
def test_a_bad_motion_of_a_video_is_refused(server: Server, portrait: bytes, motion: object, text: str) -> None:
    response = post(server, "videos", {"portrait": portrait}, motion=json.dumps(motion))
    assert text in refused(response, ProblemType.INVALID_MOTION)["detail"]
    assert nothing_left(server)


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


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ('{"sise": 256}', ProblemType.INVALID_OPTIONS, "allowed are face, driving_face, driving_relative, pose_scale"),
        ('{"format": "gif"}', ProblemType.INVALID_OPTIONS, "'png', 'jpeg' or 'webp'"),
        ('{"size": 1000000}', ProblemType.INVALID_OPTIONS, "less than or equal to 2048"),
        ('{"face": -1}', ProblemType.INVALID_OPTIONS, "greater than or equal to 0"),
        ("null", ProblemType.INVALID_OPTIONS, "options"),
        ("size=256", ProblemType.BAD_REQUEST, "options: Invalid JSON"),
    ],
)
def test_bad_options_are_refused(server: Server, portrait: bytes, options: str, kind: ProblemType, text: str) -> None:
    problem = refused(post(server, "images", {"portrait": portrait}, motion=YAW, options=options), kind)
    assert text in problem["detail"]


@pytest.mark.parametrize("temperature", ["NaN", "-1", "1e9"])
def test_bad_numbers_in_video_options_are_refused(server: Server, portrait: bytes, temperature: str) -> None:
    options = f'{{"temperature": {temperature}}}'
    response = post(server, "videos", {"portrait": portrait, "audio": WAV}, options=options)
    assert refused(response, ProblemType.INVALID_OPTIONS)["errors"][0]["field"] == "options.temperature"


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"GIF89a" + bytes(80), "image/gif"),
        (b"%PDF-1.7" + bytes(80), "application/pdf"),
        (b"hello, I am a photo", "application/octet-stream"),
        (WAV, "audio/wav"),
        (b"II*\0" + bytes(80), "image/tiff"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(80), "image/jxl"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    ],
)
def test_what_is_not_a_photo_is_refused(server: Server, data: bytes, got: str) -> None:
    problem = refused(post(server, "images", {"portrait": data}, motion=YAW), ProblemType.UNSUPPORTED_MEDIA)
    assert (problem["got"], problem["allowed"]) == (got, list(IMAGE_TYPES))
    assert nothing_left(server)


def test_a_photo_is_not_speech(server: Server, portrait: bytes) -> None:
    response = post(server, "videos", {"portrait": portrait, "audio": portrait})
    assert refused(response, ProblemType.UNSUPPORTED_MEDIA)["got"] == "image/jpeg"


def png_bomb(side: int) -> bytes:
    """A whole, valid black PNG of side x side one-bit pixels in a few kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side * (1 + side // 8)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_bomb_is_refused_by_its_header(server: Server) -> None:
    bomb = png_bomb(20_000)
    assert len(bomb) < 100_000
    problem = refused(post(server, "images", {"portrait": bomb}, motion=YAW), ProblemType.TOO_MANY_PIXELS)
    assert (problem["got"], problem["allowed"]) == (400_000_000, 50_000_000)
    assert "20000 x 20000" in problem["detail"]
    assert nothing_left(server)


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


def test_an_image_with_too_long_a_side_is_refused(server: Server) -> None:
    strip = io.BytesIO()
    Image.new("1", (40_000, 3)).save(strip, "PNG")
    problem = refused(post(server, "images", {"portrait": strip.getvalue()}, motion=YAW), ProblemType.TOO_MANY_PIXELS)
    assert (problem["got"], problem["allowed"]) == (40_000, 32_766)
    assert nothing_left(server)


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + bytes(100), b"RIFF\0\0\0\0WEBP" + bytes(100), b""]
)
def test_an_image_without_a_readable_header_is_refused(server: Server, data: bytes) -> None:
    refused(post(server, "images", {"portrait": data}, motion=YAW), ProblemType.UNREADABLE_MEDIA)
    assert nothing_left(server)


def test_an_image_whose_header_has_no_end_is_refused(server: Server) -> None:
    data = photo()
    endless = data[:2] + b"\xff\xef\0\2" * 1_000_000 + data[2:]
    problem = refused(post(server, "images", {"portrait": endless}, motion=YAW), ProblemType.UNREADABLE_MEDIA)
    assert (problem["got"], problem["allowed"]) == ("> 1000", 1000)
    assert problem["detail"] == "portrait has more than 1000 segments"
    assert nothing_left(server)


def test_missing_doubled_and_unknown_fields_are_refused(server: Server, portrait: bytes) -> None:
    cases: list[tuple[dict[str, bytes], dict[str, str], str]] = [
        ({}, {"motion": YAW}, "'portrait' is missing"),
        ({"portrait": portrait}, {}, "exactly one of motion, motions, driving is needed, got none"),
        ({"portrait": portrait, "driving": portrait}, {"motion": YAW}, "got motion, driving"),
        (
            {"portrait": portrait},
            {"motion": YAW, "optoins": "{}"},
            "unknown field 'optoins'; allowed are portrait",
        ),
    ]
    for files, texts, text in cases:
        response = post(server, "images", files, **texts) if files else server.client.post(
            "/v1/images", files={"motion": (None, YAW)}
        )  # fmt: skip
        assert text in refused(response, ProblemType.INVALID_REQUEST)["detail"]
    twice = server.client.post("/v1/images", files=[("portrait", portrait), ("portrait", portrait)])
    assert "sent twice" in refused(twice, ProblemType.INVALID_REQUEST)["detail"]
    assert nothing_left(server)


EMPTY = dict.fromkeys(("portrait_id", "motions", "driving", "options", "webhook", "deadline"), (None, ""))


def test_an_empty_part_is_a_field_not_sent(server: Server, portrait: bytes) -> None:
    """As browsers send what was left out of a plain HTML form."""
    form = {**EMPTY, "driving": ("", b"", "application/octet-stream"), "portrait": portrait, "motion": (None, YAW)}
    job = server.client.post("/v1/images", files=form)  # type: ignore[arg-type]
    assert job.status_code == 202, job.text
    spec = server.claim(job.json()["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert (spec.driving, spec.motions, spec.options) == (None, None, ImageOptions())
    kept = server.client.post("/v1/portraits", files={"portrait": portrait}).json()["id"]
    form |= {"portrait": ("", b""), "portrait_id": (None, kept)}
    assert server.client.post("/v1/images", files=form).status_code == 202  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("empty", "kind", "text"),
    [
        ({"portrait": (None, "")}, ProblemType.INVALID_REQUEST, "field 'portrait' is missing"),
        ({"portrait": ("photo.jpg", b"")}, ProblemType.UNREADABLE_MEDIA, "portrait is an empty file"),
        ({"driving": ("photo.jpg", b"")}, ProblemType.UNREADABLE_MEDIA, "driving is an empty file"),
        ({"motion": (None, "")}, ProblemType.INVALID_REQUEST, "needed, got none"),
    ],
)
def test_what_is_empty_and_needed_is_refused(
    server: Server, portrait: bytes, empty: dict[str, Any], kind: ProblemType, text: str
) -> None:
    form = {"portrait": ("photo.jpg", portrait), "motion": (None, YAW), **empty}
    assert text in refused(server.client.post("/v1/images", files=form), kind)["detail"]
    assert nothing_left(server)


def test_a_byte_order_mark_is_skipped(server: Server, portrait: bytes) -> None:
    frames = {"space": "open478", "frames": [[0.123456789] * DIMENSION] * 500}
    texts = {"motion": json.dumps(frames), "options": '{"size": 128}', "webhook": '{"url": "https://example.org"}'}
    marked = {name: (None, b"\xef\xbb\xbf" + text.encode()) for name, text in texts.items()}
    for motion in (texts["motion"], '{"keyframes": [{"t": 0, "controls": {}}]}'):
        form = {**marked, "motion": (None, b"\xef\xbb\xbf" + motion.encode()), "portrait": portrait}
        response = server.client.post("/v1/videos", files=form)  # type: ignore[arg-type]
        assert response.status_code == 202, response.text


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


def test_what_is_not_a_form_is_refused(server: Server) -> None:
    for content_type in ("text/plain", "multipart/form-data", "application/xml; charset=utf-8"):
        response = server.client.post("/v1/images", content=b"{}", headers={"content-type": content_type})
        problem = refused(response, ProblemType.UNSUPPORTED_MEDIA)
        assert problem["got"] == content_type
        assert problem["allowed"] == ["application/json", "multipart/form-data", "application/x-www-form-urlencoded"]
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for body in (b"junk", b'--x\r\nContent-Disposition: form-data; name="motion"\r\n\r\n{}'):
        refused(server.client.post("/v1/images", content=body, headers=headers), ProblemType.BAD_REQUEST)
    assert nothing_left(server)


def test_a_file_over_its_limit_is_refused_while_it_streams(start: Start) -> None:
    server = start(max_portrait_bytes=100_000)
    problem = refused(post(server, "images", {"portrait": photo() + bytes(100_000)}), ProblemType.TOO_LARGE)
    assert problem["allowed"] == 100_000
    assert "portrait is larger than the 100000 bytes allowed" in problem["detail"]
    assert nothing_left(server)


def test_a_text_over_its_limit_is_refused(start: Start, portrait: bytes) -> None:
    server = start(max_motion_bytes=100)
    refused(post(server, "images", {"portrait": portrait}, motion=YAW + " " * 100), ProblemType.TOO_LARGE)


def test_a_body_over_the_limit_is_refused_with_and_without_a_declared_length(start: Start) -> None:
    server = start(max_portrait_bytes=1000, max_motion_bytes=1000, max_options_bytes=1000)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    body = b"--x\r\n" + bytes(1_000_000)

    def stream() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="motion"\r\n\r\n'
        for _ in range(100):
            yield b" " * 1000

    declared = refused(server.client.post("/v1/images", content=body, headers=headers), ProblemType.TOO_LARGE)
    assert declared["got"] == len(body)
    refused(server.client.post("/v1/images", content=stream(), headers=headers), ProblemType.TOO_LARGE)
    assert server.client.get("/healthz").status_code == 200


def test_a_form_that_trickles_in_is_cut_off(start: Start) -> None:
    server = start(upload_timeout_s=0.5)
    host, port = server.client.base_url.host, server.client.base_url.port
    assert port is not None
    with socket.create_connection((host, port), timeout=10) as slow:
        slow.sendall(
            b"POST /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
        answer = slow.recv(65536)
        while part := slow.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert ProblemType.TOO_SLOW.uri.encode() in answer
    assert nothing_left(server)


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
