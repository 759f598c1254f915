"""The size that a header tells is the size that Pillow finds, whatever else is in the file."""

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, features

from jobs.image_headers import ImageHeaderError, image_size
from jobs.media_types import IMAGES, recognise
from tests.support.heif import heic

MODES = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
}
FORMS = [form for form in MODES if form != "AVIF" or features.check("avif")]


def thumbnail() -> bytes:
    """A whole JPEG, as cameras put one into their EXIF."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "JPEG", progressive=True)
    return buffer.getvalue()


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """A picture in any format, mode and size, with what else a file may hold."""
    form = draw(st.sampled_from(FORMS))
    side = st.integers(1, 120)
    size = draw(st.tuples(side, side))
    image = Image.new(draw(st.sampled_from(MODES[form])), size)
    options: dict[str, object] = {}
    if form != "AVIF" and draw(st.booleans()):
        options["exif"] = b"Exif\0\0" + draw(st.binary(max_size=30)) + thumbnail()
    if form == "JPEG":
        options["progressive"] = draw(st.booleans())
        options["icc_profile"] = draw(st.sampled_from([None, bytes(100), b"\xff\xda\0\x08" * 50_000]))
        options["comment"] = draw(st.binary(max_size=60))
        options["restart_marker_blocks"] = draw(st.sampled_from([0, 1, 7]))
    elif form == "WEBP":
        options["lossless"] = draw(st.booleans())
        image.putpixel((0, 0), draw(st.integers(0, 255)) if image.mode == "L" else (1, 2, 3))
    elif form == "PNG":
        options["icc_profile"] = draw(st.sampled_from([None, bytes(100)]))
        options["compress_level"] = draw(st.sampled_from([0, 6]))
    data = encoded(image, form, **options)
    if form == "JPEG":
        at = 4 + int.from_bytes(data[4:6], "big")
        data = data[:at] + b"\xff" * draw(st.integers(0, 9)) + data[at:]  # fill bytes before a marker
    return data


@settings(max_examples=80, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=images())
def test_pillow_finds_the_same(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    with Image.open(path) as image:
        assert image_size(path, recognise(data)) == image.size


def test_of_several_pictures_the_first_counts(tmp_path: Path) -> None:
    first, larger, other = (
        Image.new("RGB", size, colour) for size, colour in (((90, 60), "red"), ((300, 200), "red"), ((90, 60), "blue"))
    )
    for name, form, second in (("a.jpg", "MPO", larger), ("a.png", "PNG", other), ("a.webp", "WEBP", other)):
        path = tmp_path / name
        path.write_bytes(encoded(first, form, save_all=True, append_images=[second]))
        with Image.open(path) as image:
            assert getattr(image, "n_frames", 1) == 2
            assert image_size(path, recognise(path.read_bytes())) == image.size == (90, 60)


def test_a_heic_is_as_large_as_its_primary_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(heic(np.zeros((64, 96, 3), np.uint8), exif=b"MM\0*" + bytes(40)))
    assert image_size(path, "image/heic") == (96, 64)


@pytest.mark.parametrize("kind", [each.name for each in IMAGES])
@pytest.mark.parametrize("rest", [b"", bytes(8), bytes(100), b"\xff" * 100])
def test_what_is_no_image_is_told(tmp_path: Path, kind: str, rest: bytes) -> None:
    heads = {
        "image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n", "image/webp": b"RIFF\0\0\0\0WEBP",
        "image/heic": b"\0\0\0\x14ftypheic\0\0\0\0heic", "image/avif": b"\0\0\0\x14ftypavif\0\0\0\0avif",
    }  # fmt: skip
    path = tmp_path / "a"
    path.write_bytes(heads[kind] + rest)
    with pytest.raises(ImageHeaderError, match=r"has no readable image header|has more than"):
        image_size(path, kind)


@pytest.mark.parametrize("form", FORMS)
def test_an_image_that_ends_early_is_told_or_has_its_size(tmp_path: Path, form: str) -> None:
    data = encoded(Image.linear_gradient("L").convert("RGB"), form)
    path = tmp_path / "a"
    for length in range(16, len(data), max(1, len(data) // 200)):
        path.write_bytes(data[:length])
        with contextlib.suppress(ImageHeaderError):
            assert image_size(path, recognise(data)) == (256, 256)


def test_no_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    data = encoded(Image.new("RGB", (48, 64)), "JPEG")
    path.write_bytes(data.replace(struct.pack(">HH", 64, 48), struct.pack(">HH", 0, 48)))
    with pytest.raises(ImageHeaderError, match="has no pixels") as caught:
        image_size(path, "image/jpeg")
    assert caught.value.got == "48 x 0"
