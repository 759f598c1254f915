"""Photos, sounds, motions and options that are refused as a job is created."""

import io
import json
import struct
import zlib

import pytest
from PIL import Image

from jobs.media_types import IMAGE_TYPES
from jobs.problems import ProblemType
from tests.service.conftest import Server, photo
from tests.service.routes.test_create import WAV, YAW, nothing_left, post, refused

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
