"""Photos in and out, against files made here by Pillow."""

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from jobs.image_headers import image_size
from jobs.problems import ProblemError, ProblemType
from tests.support.heif import heic
from tests.support.limits import IMAGE_LIMITS
from worker.media.images import encode_image, read_image
from worker.media.limits import ImageLimits


@pytest.fixture
def picture() -> np.ndarray:
    """A smooth picture, 48 x 64, whose four corners differ."""
    y, x = np.mgrid[0:48, 0:64]
    return np.dstack([x * 4, y * 5, 255 - x * 2]).astype(np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0), ("jpg", 6), ("webp", 6)])
def test_three_formats_are_read(tmp_path: Path, picture: np.ndarray, suffix: str, tolerance: int) -> None:
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(picture), **({} if suffix == "png" else {"quality": 98}))
    rgb = read_image(path, IMAGE_LIMITS)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (48, 64, 3)
    assert np.abs(rgb.astype(int) - picture).mean() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, picture: np.ndarray, orientation: int) -> None:
    stored = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.transpose(1, 0, 2),
        6: np.rot90(picture, 1),
        7: picture[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(picture, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(read_image(path, IMAGE_LIMITS), picture)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, :4] = (255, 0, 0, 255)
    rgb = read_image(saved(tmp_path / "a.png", Image.fromarray(rgba)), IMAGE_LIMITS)
    assert rgb[0, 0].tolist() == [255, 0, 0]
    assert rgb[0, 7].tolist() == [255, 255, 255]


def test_grey_and_16_bit_keep_their_brightness(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
    deep = read_image(saved(tmp_path / "deep.png", Image.fromarray(ramp)), IMAGE_LIMITS)
    grey = read_image(saved(tmp_path / "grey.png", Image.fromarray((ramp >> 8).astype(np.uint8))), IMAGE_LIMITS)
    assert np.abs(deep.astype(int) - grey).max() <= 1
    assert deep[0, -1].tolist() == [255, 255, 255]


def test_palette_and_cmyk_become_rgb(tmp_path: Path) -> None:
    red = Image.new("RGB", (8, 8), (200, 30, 40))
    paletted = read_image(saved(tmp_path / "p.png", red.quantize(4)), IMAGE_LIMITS)
    cmyk = read_image(saved(tmp_path / "c.jpg", red.convert("CMYK"), quality=100), IMAGE_LIMITS)
    for rgb in (paletted, cmyk):
        assert np.abs(rgb[4, 4].astype(int) - [200, 30, 40]).max() <= 4


def test_embedded_profile_is_converted_to_srgb(tmp_path: Path, picture: np.ndarray) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = read_image(saved(tmp_path / "srgb.png", Image.fromarray(picture), icc_profile=profile), IMAGE_LIMITS)
    assert np.abs(plain.astype(int) - picture).max() <= 2
    broken = read_image(
        saved(tmp_path / "broken.png", Image.fromarray(picture), icc_profile=b"no profile"), IMAGE_LIMITS
    )
    np.testing.assert_array_equal(broken, picture)


@pytest.fixture(scope="module")
def wide_gamut() -> bytes:
    """The profile of a space whose primaries stand further apart than sRGB's: its colours are duller as sRGB's."""
    return profile_of(primaries=((0.7, 0.3), (0.17, 0.77), (0.14, 0.05)))


def profile_of(primaries: tuple[tuple[float, float], ...]) -> bytes:
    """A matrix profile (ICC 2) of a gamma of 2.2 with these chromaticities of red, green and blue, and D50 as white."""
    white = np.array([0.9642, 1.0, 0.8249])
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    columns = columns * np.linalg.solve(columns, white)
    fixed = [struct.pack(">4s4x3i", b"XYZ ", *np.rint(65536 * each).astype(int)) for each in (white, *columns.T)]
    curve = struct.pack(">4s4xIHxx", b"curv", 1, round(2.2 * 256))
    text = struct.pack(">4s4xI4s70x", b"desc", 4, b"big\0") + bytes(2)
    values = dict(zip((b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ"), fixed, strict=True)) | {b"desc": text}
    values |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, data, place = struct.pack(">I", len(values)), b"", 128 + 4 + 12 * len(values)
    for kind, value in values.items():
        table += struct.pack(">4sII", kind, place + len(data), len(value))
        data += value
    size = place + len(data)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x", size, 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp", 63190, 65536, 54061
    )
    return header + table + data


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "PA", "RGB with a colour that is transparent"])
def test_the_profile_counts_in_every_mode(tmp_path: Path, picture: np.ndarray, wide_gamut: bytes, mode: str) -> None:
    plain = Image.fromarray(picture // 64 * 64)  # few colours, so that a palette holds them all
    right = read_image(saved(tmp_path / "right.png", plain, icc_profile=wide_gamut), IMAGE_LIMITS)
    assert np.abs(right.astype(int) - plain).mean() > 5
    image = plain
    options: dict[str, Any] = {}
    if mode in ("P", "PA"):
        image = plain.quantize(256)
        options = {"transparency": bytes([255] * 256)} if mode == "PA" else {}
    elif mode == "RGBA":
        image = plain.convert("RGBA")
    elif mode != "RGB":
        options = {"transparency": (1, 2, 3)}
    path = saved(tmp_path / "a.png", image, icc_profile=wide_gamut, **options)
    assert np.abs(read_image(path, IMAGE_LIMITS).astype(int) - right).mean() < 1


def test_grey_is_converted_by_the_profile_of_a_colour_space_too(tmp_path: Path, wide_gamut: bytes) -> None:
    grey = Image.linear_gradient("L").resize((64, 48))
    right = read_image(saved(tmp_path / "right.png", grey.convert("RGB"), icc_profile=wide_gamut), IMAGE_LIMITS)
    for image, options in ((grey, {}), (grey, {"transparency": 300}), (grey.convert("LA"), {})):
        path = saved(tmp_path / "a.png", image, icc_profile=wide_gamut, **options)
        assert np.abs(read_image(path, IMAGE_LIMITS).astype(int) - right).max() <= 1


def test_colours_are_converted_before_they_are_laid_on_white(tmp_path: Path, wide_gamut: bytes) -> None:
    red = Image.new("RGBA", (8, 8), (200, 60, 60, 255))
    opaque = read_image(saved(tmp_path / "a.png", red, icc_profile=wide_gamut), IMAGE_LIMITS).astype(int)
    red.putalpha(128)
    half = read_image(saved(tmp_path / "b.webp", red, icc_profile=wide_gamut, lossless=True, exact=True), IMAGE_LIMITS)
    assert np.abs(half - (opaque * 128 + 255 * 127) / 255).max() <= 1


def test_deep_grey_may_have_a_transparent_level(tmp_path: Path) -> None:
    deep = np.full((8, 8), 40_000, np.uint16)
    deep[:, 4:] = 10_000
    rgb = read_image(saved(tmp_path / "a.png", Image.fromarray(deep), transparency=10_000), IMAGE_LIMITS)
    assert rgb[0, 0].tolist() == [156] * 3
    assert rgb[0, 7].tolist() == [255] * 3


TURNED_RIGHT = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_heic_is_turned_once_as_it_says_itself(
    tmp_path: Path, picture: np.ndarray, turns: int, mirrored: bool
) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(heic(picture, turns=turns, mirrored=mirrored, exif=TURNED_RIGHT))
    seen = np.rot90(picture, turns)
    wanted = seen[:, ::-1] if mirrored else seen
    assert image_size(path, "image/heic") == wanted.shape[1::-1]
    assert np.abs(read_image(path, IMAGE_LIMITS).astype(int) - wanted).mean() < 6


@pytest.mark.parametrize("tiles", [(1, 1), (2, 3), (3, 2)])
def test_a_heic_of_tiles_is_put_together(tmp_path: Path, picture: np.ndarray, tiles: tuple[int, int]) -> None:
    path = tmp_path / "a.heic"
    large = picture.repeat(4, axis=0).repeat(4, axis=1)[:180]
    path.write_bytes(heic(large, tiles=tiles, turns=1))
    wanted = np.rot90(large, 1)
    assert image_size(path, "image/heic") == wanted.shape[1::-1]
    assert np.abs(read_image(path, IMAGE_LIMITS).astype(int) - wanted).mean() < 6


def test_a_damaged_heic_is_told(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.heic"
    data = heic(picture.repeat(4, axis=0).repeat(4, axis=1), tiles=(2, 2))
    for spoiled in (data[: len(data) // 2], data.replace(b"hvcC", b"hvcX"), data.replace(b"dimg", b"dimX")):
        path.write_bytes(spoiled)
        error = refused(path)
        assert error.problem_type is ProblemType.UNREADABLE_MEDIA
        assert "damaged or truncated HEIC" in error.detail


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_avif_is_read(tmp_path: Path, picture: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.avif", Image.fromarray(picture), quality=95, exif=exif)
    wanted = {1: picture, 6: np.rot90(picture, -1), 7: picture[::-1, ::-1].transpose(1, 0, 2)}[orientation]
    assert image_size(path, "image/avif") == wanted.shape[1::-1]
    assert np.abs(read_image(path, IMAGE_LIMITS).astype(int) - wanted).mean() < 6


def test_damaged_exif_does_not_spoil_the_picture(tmp_path: Path, picture: np.ndarray) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(picture), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_image(path, IMAGE_LIMITS), picture)


def refused(path: Path, limits: ImageLimits | None = None) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        read_image(path, limits or IMAGE_LIMITS)
    return caught.value


def test_not_an_image(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("not an image at all")
    error = refused(path)
    assert error.problem_type is ProblemType.UNSUPPORTED_MEDIA
    assert "not an image (JPEG, PNG, WebP, HEIC or AVIF)" in error.detail
    assert "b'not an i'" in error.detail


def test_formats_outside_the_list_are_refused(tmp_path: Path, picture: np.ndarray) -> None:
    path = saved(tmp_path / "a.gif", Image.fromarray(picture))
    assert refused(path).problem_type is ProblemType.UNSUPPORTED_MEDIA


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    error = refused(path)
    assert error.problem_type is ProblemType.UNREADABLE_MEDIA
    assert "damaged" in error.detail


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    assert "0 bytes" in refused(path).detail


def test_too_many_bytes(tmp_path: Path, picture: np.ndarray) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(picture))
    error = refused(path, replace(IMAGE_LIMITS, bytes=100))
    assert error.problem_type is ProblemType.TOO_LARGE
    assert (error.got, error.allowed) == (path.stat().st_size, 100)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8000, 12_000, 60_000])  # above our cap, Pillow's warning and Pillow's error
def test_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_size(side, side))
    error = refused(path)
    assert error.problem_type is ProblemType.TOO_MANY_PIXELS
    assert error.got == side * side
    assert str(side * side) in error.detail
    assert "50000000" in error.detail


@pytest.mark.parametrize(("width", "height"), [(32_767, 100), (1, 40_000)])
def test_a_side_that_is_too_long_is_refused(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "strip.png"
    path.write_bytes(png_of_size(width, height))
    error = refused(path)
    assert error.problem_type is ProblemType.TOO_MANY_PIXELS
    assert (error.got, error.allowed) == (max(width, height), 32_766)
    assert f"{width} x {height}" in error.detail


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_encoding_can_be_read_back(picture: np.ndarray, image_format: str) -> None:
    data = encode_image(picture, image_format, quality=95)  # type: ignore[arg-type]
    image = Image.open(io.BytesIO(data))
    assert image.format == image_format.upper()
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - picture).mean() <= (0 if image_format == "png" else 4)


@pytest.mark.parametrize("quality", [75, 95, 100])
def test_noise_of_any_size_can_be_a_jpeg(quality: int) -> None:
    """Which takes more room than an encoder may expect."""
    noise = np.random.default_rng(0).integers(0, 256, (512, 640, 3), np.uint8)
    assert Image.open(io.BytesIO(encode_image(noise, "jpeg", quality=quality))).size == (640, 512)
