"""JPEG after JPEG by a child that lives on: what comes out, what is refused, and what a child's end costs."""

import signal
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

from jobs.problems import ProblemError, ProblemType
from tests.support import hostile
from tests.support.bombs import jpeg_of_segments, scans
from tests.support.hostile import encoded
from tests.worker.conftest import SAMPLES
from worker import decoding
from worker.decoding import JpegReader, readers
from worker.media import images
from worker.media.limits import ImageLimits

LIMITS = ImageLimits(bytes=512_000, pixels=1280 * 1280, side=1280)
PHOTO = Image.open(SAMPLES / "portrait.jpg").convert("RGB")


def jpeg(size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    return encoded(PHOTO.resize(size), "JPEG", **options)


@pytest.fixture
def reader() -> Iterator[JpegReader]:
    with closing(JpegReader(LIMITS, name="picture")) as reader:
        yield reader
    assert not children()


def children() -> list[psutil.Process]:
    return list(psutil.Process(decoding.start_forkserver().pid).children())


def refused(reader: JpegReader, data: bytes) -> ProblemError:
    """What is said of it; the next picture is read."""
    with pytest.raises(ProblemError) as caught:
        reader.read(data)
    assert reader.read(jpeg()).shape == (48, 64, 3)
    return caught.value


def test_pictures_are_those_of_files(reader: JpegReader, tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x112] = 6
    pictures = {
        "plain": jpeg((640, 480)),
        "turned": jpeg((320, 200), exif=turned),
        "progressive": jpeg((320, 200), progressive=True),
        "grey": encoded(PHOTO.convert("L"), "JPEG"),
        "CMYK": encoded(PHOTO.convert("CMYK"), "JPEG"),
        "largest": jpeg((1280, 1280)),
    }
    workers: set[int] = set()
    for name, data in pictures.items():
        (tmp_path / "a.jpg").write_bytes(data)
        known = images.read_image(tmp_path / "a.jpg", LIMITS)
        np.testing.assert_array_equal(reader.read(data), known, err_msg=name)
        workers.update(child.pid for child in children())
    assert len(workers) == 1


def test_what_is_no_jpeg_or_too_large_is_refused(reader: JpegReader) -> None:
    png = encoded(PHOTO, "PNG")
    huge = jpeg().replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65_535, 65_535))
    cases: dict[str, tuple[bytes, ProblemType, object]] = {
        "is empty": (b"", ProblemType.UNREADABLE_MEDIA, None),
        "is not a JPEG": (png, ProblemType.UNSUPPORTED_MEDIA, ["image/jpeg"]),
        "at most 512000 are allowed": (jpeg() + bytes(512_000), ProblemType.TOO_LARGE, 512_000),
        "65535 x 65535": (huge, ProblemType.TOO_MANY_PIXELS, LIMITS.pixels),
        "allowed are 1280 a side": (jpeg((1281, 8)), ProblemType.TOO_MANY_PIXELS, 1280),
        "more than 100 scans": (scans(64, 101), ProblemType.UNREADABLE_MEDIA, 100),
        "more than 1000 segments": (
            jpeg_of_segments(b"\xff\xef\0\2")(0.01),
            ProblemType.UNREADABLE_MEDIA,
            1000,
        ),
        "damaged or truncated JPEG": (jpeg((640, 480))[:3000], ProblemType.UNREADABLE_MEDIA, None),
    }
    for says, (data, kind, allowed) in cases.items():
        error = refused(reader, data)
        assert (error.problem_type, error.allowed) == (kind, allowed), says
        assert says in error.detail
        assert error.detail.startswith("the picture ")


@pytest.mark.slow
def test_spoiled_pictures_are_read_or_refused(reader: JpegReader) -> None:
    for name, data in hostile.images():
        if name.startswith(("png: ", "webp: ")):
            continue  # what is wrong in them is not looked at: whole ones are refused as well
        try:
            assert reader.read(data).dtype == np.uint8
        except ProblemError as error:
            assert len(error.detail) < 500, name  # noqa: PT017 - either is right
    assert reader.read(jpeg()).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGKILL, ProblemType.TOO_COSTLY), (signal.SIGSEGV, ProblemType.UNREADABLE_MEDIA)],
)
def test_a_child_that_dies_costs_a_picture(reader: JpegReader, number: signal.Signals, kind: ProblemType) -> None:
    for _ in range(3):
        reader.read(jpeg())
        (child,) = children()
        child.send_signal(number)
        assert refused(reader, jpeg()).problem_type is kind
        assert child not in children()


def test_a_child_that_hangs_costs_a_picture(reader: JpegReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PICTURE_STALL_S", 0.5)
    reader.read(jpeg())
    (child,) = children()
    child.suspend()
    error = refused(reader, jpeg())
    assert error.problem_type is ProblemType.TOO_COSTLY
    assert "hangs: for 0.5 seconds nothing came" in error.detail
    assert child not in children()


@pytest.mark.slow
def test_a_child_has_only_so_much_to_compute(reader: JpegReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PICTURES", replace(readers.PICTURES, seconds=1))
    costly = scans(1280, 90)
    with pytest.raises(ProblemError) as caught:
        deque((reader.read(costly) for _ in range(400)), maxlen=0)
    assert (caught.value.problem_type, caught.value.allowed) == (ProblemType.TOO_COSTLY, 1)
    assert reader.read(jpeg()).shape == (48, 64, 3)


def test_memory_is_bounded(reader: JpegReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PICTURES", replace(readers.PICTURES, memory=1 << 20))
    with pytest.raises(ProblemError) as caught:
        reader.read(jpeg((1280, 1280)))
    assert caught.value.problem_type is ProblemType.TOO_COSTLY
    monkeypatch.undo()
    assert reader.read(jpeg((1280, 1280))).shape == (1280, 1280, 3)


def test_children_are_replaced_unnoticed(reader: JpegReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PICTURES_EACH", 10)
    workers = set()
    for _ in range(35):
        reader.read(jpeg())
        (child,) = children()
        workers.add(child.pid)
    assert len(workers) == 4


def test_whoever_waits_may_call_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class CalledOffError(Exception):
        pass

    def check() -> None:
        raise CalledOffError

    with closing(JpegReader(LIMITS, name="picture", check=check)) as reader, pytest.raises(CalledOffError):
        reader.read(jpeg())
    assert not children()


@pytest.mark.slow
def test_many_pictures_leave_nothing_behind(reader: JpegReader) -> None:
    own = psutil.Process()
    small, large = jpeg(), jpeg((1280, 1280))

    def read(count: int) -> tuple[int, int]:
        """How many files are open afterwards, and bytes of memory."""
        for number in range(count):
            reader.read(large if number % 10 == 0 else small)
            if number % 50 == 0:
                children()[0].kill()
                with pytest.raises(ProblemError):
                    reader.read(small)
        return own.num_fds(), own.memory_info().rss

    files, memory = read(150)
    more_files, more_memory = read(600)
    assert more_files == files
    assert more_memory < memory + (16 << 20)
    server = psutil.Process(decoding.start_forkserver().pid)
    assert server.num_fds() < 12
