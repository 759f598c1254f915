"""Inputs that a worker cannot use, and what their jobs say."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.motions import CoefficientsMotion, ControlsMotion, FramesMotion
from jobs.problems import ProblemType
from jobs.schemas import (
    ImageSpec,
    JobStatus,
    VideoSpec,
)
from tests.worker.conftest import Bench
from tests.worker.queue.test_worker_process import SPEECH, beginning, jpeg, still, turn_head, wav

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("worker_process")]


def hour() -> bytes:
    """An hour of silence but for its beginning; as FLAC it is small."""
    samples, sound = np.zeros(3600 * 16_000, np.int16), io.BytesIO()
    samples[:16_000] = 10_000 * NOISE
    soundfile.write(sound, samples, 16_000, format="FLAC")
    return sound.getvalue()


def bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def spoken(job: str, bench: Bench, photo: Path, sound: bytes) -> VideoSpec:
    return VideoSpec(
        portrait=bench.put(job, "portrait.jpg", photo, "image/jpeg"),
        audio=bench.put(job, "audio.wav", sound, "audio/wav"),
    )


NOISE = np.random.default_rng(0).normal(0, 0.1, 16_000)


BAD_INPUTS: dict[str, tuple[Callable[[str, Bench, Path], ImageSpec | VideoSpec], ProblemType, str]] = {
    "not an image": (
        lambda j, b, p: still(j, b, b"hello, world"),
        ProblemType.UNSUPPORTED_MEDIA,
        "JPEG, PNG, WebP, HEIC or AVIF",
    ),
    "bomb": (
        lambda j, b, p: still(j, b, bomb()),
        ProblemType.TOO_MANY_PIXELS,
        "1600000000 pixels; allowed are 50000000",
    ),
    "truncated": (lambda j, b, p: still(j, b, p.read_bytes()[:9000]), ProblemType.UNREADABLE_MEDIA, "truncated"),
    "no face": (
        lambda j, b, p: still(j, b, jpeg(np.full((300, 400, 3), 128, np.uint8))),
        ProblemType.NO_FACE,
        "400 x 300",
    ),
    "no such face": (lambda j, b, p: still(j, b, p, face=7), ProblemType.NO_SUCH_FACE, "face 7"),
    "wrong space": (
        lambda j, b, p: still(j, b, p, CoefficientsMotion(space="bfm-deep3d", coefficients=[0.0] * 73)),
        ProblemType.WRONG_MOTION_SPACE,
        "'bfm-deep3d'; the installed renderer speaks open478",
    ),
    "wrong length": (
        lambda j, b, p: still(j, b, p, CoefficientsMotion(space="open478", coefficients=[0.0] * 69)),
        ProblemType.INVALID_MOTION,
        "69 numbers; space open478 has 70",
    ),
    "unknown control": (
        lambda j, b, p: still(j, b, p, ControlsMotion(controls={"wings": 1})),
        ProblemType.INVALID_MOTION,
        "'wings'",
    ),
    "control out of range": (
        lambda j, b, p: still(j, b, p, ControlsMotion(controls={"yaw": 400})),
        ProblemType.INVALID_MOTION,
        "400",
    ),
    "sequence for an image": (
        lambda j, b, p: still(j, b, p, FramesMotion(space="open478", frames=[[0.0] * 70])),
        ProblemType.INVALID_MOTION,
        "needs a motion of controls or coefficients, got frames",
    ),
    "no samples": (lambda j, b, p: spoken(j, b, p, wav(np.zeros(0))), ProblemType.SILENT_AUDIO, "0 seconds of sound"),
    "silence": (lambda j, b, p: spoken(j, b, p, wav(np.zeros(16_000))), ProblemType.SILENT_AUDIO, "silent"),
    "NaN sound": (
        lambda j, b, p: spoken(j, b, p, wav(np.where(np.arange(16_000) == 7, np.nan, NOISE))),
        ProblemType.SILENT_AUDIO,
        "1 samples that are no numbers",
    ),
    "one sample": (lambda j, b, p: spoken(j, b, p, wav(np.full(1, 0.5))), ProblemType.SILENT_AUDIO, "at least 0.1"),
    "infinite sound": (
        lambda j, b, p: spoken(j, b, p, wav(np.where(NOISE > 0.3, np.inf, NOISE))),
        ProblemType.SILENT_AUDIO,
        "samples that are no numbers (NaN or infinite)",
    ),
    "cut MP3": (
        lambda j, b, p: spoken(j, b, p, beginning(SPEECH, 4, format="MP3")[:-9000]),
        ProblemType.UNREADABLE_MEDIA,
        "of the 4.0 seconds that its header says",
    ),
    "an hour": (
        lambda j, b, p: spoken(j, b, p, hour()),
        ProblemType.AUDIO_TOO_LONG,
        "3600.0 seconds long; at most 300",
    ),
    "too long": (
        lambda j, b, p: spoken(j, b, p, wav(np.tile(NOISE, 301))),
        ProblemType.AUDIO_TOO_LONG,
        "301.0 seconds long; at most 300",
    ),
    "not sound": (lambda j, b, p: spoken(j, b, p, b"la la la " * 99), ProblemType.UNSUPPORTED_MEDIA, "is not a sound"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_ends_the_job_with_its_problem(bench: Bench, portrait: Path, name: str) -> None:
    make, problem, text = BAD_INPUTS[name]
    record = bench.finished(bench.submit(lambda job: make(job, bench, portrait)))
    assert record.status is JobStatus.FAILED
    assert record.error is not None
    assert (record.error.type, record.error.status) == (problem.uri, problem.status)
    assert text in record.error.detail
    assert record.deliveries == 1
    assert not [file for file in bench.files(record.id) if "result" in file]


def test_the_next_job_works(bench: Bench, portrait: Path) -> None:
    bench.finished(bench.submit(lambda job: still(job, bench, b"broken")))
    bench.succeeded(turn_head(bench, portrait))
