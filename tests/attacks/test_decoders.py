"""Files made to misuse decoders: each costs its own job a few seconds at most, and the worker nothing."""

import dataclasses
import io
import signal
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
import soundfile
from PIL import Image

from jobs.motions import ControlsMotion
from jobs.problems import ProblemError, ProblemType
from jobs.schemas import ImageOptions, ImageSpec, JobStatus
from jobs.store.records import JobRecord
from tests.support.bombs import scans
from tests.support.limits import SOUND_LIMITS, VIDEO_LIMITS
from tests.worker.conftest import SAMPLES, Bench, WorkerProcess, bench, tiny, weights  # noqa: F401
from worker import decoding
from worker.decoding import readers

MIB = 1 << 20
PORTRAIT = SAMPLES / "portrait.jpg"


def jpeg(width: int, height: int) -> bytes:
    """A small picture that says it had this size."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    return buffer.getvalue().replace(struct.pack(">HH", 64, 64), struct.pack(">HH", height, width))


def film(path: Path, codec: str, pictures: list[bytes]) -> Path:
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 64, 64
        stream.pix_fmt = "rgb24" if codec == "png" else "yuvj420p"
        for number, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            container.mux(packet)
    return path


LARGE = scans(7000, 50)


def refused(read: Callable[[], object]) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        read()
    return caught.value


@pytest.mark.parametrize("small", [0, 3])
def test_a_video_of_which_a_picture_is_larger_than_it_says(
    small: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16000x16000 pixels, for which memory would not suffice, after none or some of 64x64."""
    monkeypatch.setattr(readers, "STREAM_MEMORY", 160 * MIB)
    monkeypatch.setattr(readers, "HEADER", dataclasses.replace(readers.HEADER, memory=160 * MIB))
    path = film(tmp_path / "a.mov", "mjpeg", [jpeg(64, 64)] * small + [jpeg(16000, 16000)] * 3)
    source = decoding.open_video(path, VIDEO_LIMITS)
    error = refused(lambda: list(source.frames(25)))
    assert error.problem_type is ProblemType.UNREADABLE_MEDIA
    assert "Invalid data found" in error.detail


def test_a_video_of_which_a_picture_has_too_many_scans(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mov", "mjpeg", [jpeg(64, 64)] * 3 + [scans(64, 101)])
    source = decoding.open_video(path, VIDEO_LIMITS)
    assert "has a picture of 102 scans; at most 100 are allowed" in refused(lambda: list(source.frames(25))).detail


def test_codecs_that_nobody_films_or_speaks_in(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    path = film(tmp_path / "a.mov", "png", [buffer.getvalue()])
    error = refused(lambda: decoding.open_video(path, VIDEO_LIMITS))
    assert (error.problem_type, error.got) == (ProblemType.UNSUPPORTED_MEDIA, "png")
    assert "encoded as png; allowed are h264, hevc, vp8, vp9, av1" in error.detail
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("adpcm_yamaha", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    error = refused(lambda: decoding.read_speech(tmp_path / "a.avi", SOUND_LIMITS))
    assert (error.problem_type, error.got) == (ProblemType.UNSUPPORTED_MEDIA, "adpcm_yamaha")


def test_a_sound_of_another_format_behind_a_tag_of_an_mp3(tmp_path: Path) -> None:
    sound = io.BytesIO()
    soundfile.write(sound, np.full(16_000, 0.5), 16_000, format="AU")
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3\4\0\0\0\0\0\n" + bytes(10) + sound.getvalue())
    error = refused(lambda: decoding.read_speech(path, SOUND_LIMITS))
    assert (error.problem_type, error.got) == (ProblemType.UNSUPPORTED_MEDIA, "AU")


@pytest.fixture(scope="module")
def worker(bench: Bench, tiny: dict[str, str]) -> Iterator[WorkerProcess]:  # noqa: F811
    """A worker that knows secrets."""
    secrets = {"PIRENDERER_API_KEYS": "a-secret-key", "PIRENDERER_REDIS_URL": with_password(bench)}
    process = bench.start_worker(**tiny, **secrets)
    yield process
    process.stop()


def with_password(bench: Bench) -> str:  # noqa: F811
    return bench.environment["PIRENDERER_REDIS_URL"].replace("redis://", "redis://default:a-password@")


def pose(bench: Bench, portrait: Path | bytes) -> str:  # noqa: F811
    return bench.submit(
        lambda job: ImageSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
            motion=ControlsMotion(controls={"yaw": 10}),
            options=ImageOptions(paste_back=False),
        )
    )


def succeeds(bench: Bench) -> int | None:  # noqa: F811
    """The process that makes an ordinary image now."""
    job_id = pose(bench, PORTRAIT)
    worked: list[int | None] = []
    record = bench.wait(job_id, lambda record: record.status.finished or bool(worked.append(bench.child(job_id))))
    assert record.status is JobStatus.SUCCEEDED, record.error
    return next((pid for pid in worked if pid is not None), None)


def decoder(bench: Bench, job_id: str) -> psutil.Process:  # noqa: F811
    """The child that decodes for a job, stopped in the middle of it."""

    def children(record: JobRecord) -> list[psutil.Process]:
        worker = bench.child(record.id)
        servers = [] if worker is None else psutil.Process(worker).children()
        return [child for server in servers for child in server.children()]

    record = bench.wait(job_id, lambda record: record.status.finished or bool(children(record)))
    (child,) = children(record)
    child.suspend()
    return child


@pytest.mark.slow
def test_a_decoder_that_hangs(bench: Bench, worker: WorkerProcess) -> None:  # noqa: F811
    """It is stopped before it can end. When its time is over it is gone, and the same process does the next job."""
    job_id = pose(bench, LARGE)
    child = decoder(bench, job_id)
    (server,) = psutil.Process(bench.child(job_id)).children()
    for process in (child, server):
        environment = process.environ()
        assert "PATH" in environment
        assert not [name for name in environment if name.startswith("PIRENDERER")]
        assert not [value for value in environment.values() if "a-secret-key" in value or "a-password" in value]
    record = bench.finished(job_id)
    assert record.error is not None
    assert record.error.type == ProblemType.TOO_COSTLY.uri
    assert record.deliveries == 1
    assert not child.is_running()
    assert succeeds(bench) in (server.ppid(), None)


@pytest.mark.slow
def test_a_job_that_is_canceled_while_its_picture_is_decoded(bench: Bench, worker: WorkerProcess) -> None:  # noqa: F811
    job_id = pose(bench, LARGE)
    child = decoder(bench, job_id)
    bench.store.request_cancel(job_id)
    record = bench.finished(job_id)
    assert record.status is JobStatus.CANCELED  # before it is given up for what it costs
    assert not child.is_running()
    succeeds(bench)


@pytest.mark.slow
def test_a_decoder_that_breaks_down(bench: Bench, worker: WorkerProcess) -> None:  # noqa: F811
    job_id = pose(bench, LARGE)
    child = decoder(bench, job_id)
    child.send_signal(signal.SIGSEGV)
    child.resume()
    record = bench.finished(job_id)
    assert record.error is not None
    assert record.error.type == ProblemType.UNREADABLE_MEDIA.uri
    assert record.deliveries == 1
    succeeds(bench)
