"""Photos in and out: whatever a person uploads becomes upright RGB; results become PNG, JPEG or WebP."""

import contextlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from service.jobs.problems import ProblemType
from service.jobs.schemas import MAX_IMAGE_SIDE
from worker.errors import InputError
from worker.media.files import check_size
from worker.media.marking import XMP, png_mark

ImageFormat = Literal["png", "jpeg", "webp"]

FORMATS = ("JPEG", "PNG", "WEBP")
BAND_PIXELS = 1 << 22  # brought to RGB at once

# What Pillow's decoders raise on damaged files, besides OSError.
_DAMAGED = (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, struct.error, zlib.error)


@dataclass(frozen=True)
class ImageLimits:
    """What is accepted before anything is decoded: size of the file and number of pixels it unfolds to."""

    bytes: int = 20 * 2**20
    pixels: int = 50_000_000


def read_image(path: Path, limits: ImageLimits = ImageLimits(), *, name: str = "portrait") -> NDArray[np.uint8]:
    """Decode a JPEG, PNG or WebP file to upright RGB, uint8 (H, W, 3).

    EXIF orientation is applied, embedded colour profiles are converted to sRGB, transparency is laid on white, and
    grey, palette, CMYK and 16-bit pictures become 8-bit RGB. Of an animation the first picture is taken.

    `name` is what messages call the file. Raises InputError: too-large, unsupported-media, too-many-pixels or
    unreadable-media.
    """
    return np.concatenate([*rgb_bands(open_image(path, limits, name=name))])


def open_image(path: Path, limits: ImageLimits = ImageLimits(), *, name: str = "portrait") -> Image.Image:
    """Decode as `read_image`, but leave the colours as they are."""
    check_size(path, limits.bytes, name)
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")  # Pillow's about its own pixel cap and damaged EXIF; both are handled here
        image = _opened(file, limits, name)
        try:
            image.load()
        except _DAMAGED as error:
            raise InputError(
                ProblemType.UNREADABLE_MEDIA, f"the {name} is a damaged or truncated {image.format} file: {error}"
            ) from error
        return _upright(image)


def rgb_bands(image: Image.Image) -> Iterator[NDArray[np.uint8]]:
    """A picture as RGB from the top, uint8 (n, W, 3) each: what conversions hold besides is not as large as it is."""
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield _to_rgb(image.crop((0, top, image.width, min(top + rows, image.height))))


def encode_image(rgb: NDArray[np.uint8], image_format: ImageFormat, *, quality: int = 95) -> bytes:
    """Encode uint8 (H, W, 3) RGB, marked as synthetic; `quality` 1..100 counts for JPEG and WebP."""
    buffer = io.BytesIO()
    image = Image.fromarray(rgb)
    match image_format:
        case "png":
            image.save(buffer, "PNG", compress_level=4, pnginfo=png_mark())
        case "jpeg":
            subsampling = 0 if quality >= 90 else 2
            image.save(buffer, "JPEG", quality=quality, subsampling=subsampling, xmp=XMP)
        case "webp":
            image.save(buffer, "WEBP", quality=quality, xmp=XMP)
    return buffer.getvalue()


def _opened(file: io.BufferedReader, limits: ImageLimits, name: str) -> Image.Image:
    """Read the header only, and refuse what is not allowed."""
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise _too_many_pixels(int(pixels[1]) if pixels else None, limits, name) from error
    except UnidentifiedImageError as error:
        file.seek(0)
        start = file.read(8)
        raise InputError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"the {name} is not a JPEG, PNG or WebP image; it starts with the bytes {start!r}",
            got=start.hex(" "),
            allowed=["image/jpeg", "image/png", "image/webp"],
        ) from error
    except _DAMAGED as error:
        raise InputError(ProblemType.UNREADABLE_MEDIA, f"the {name}'s header is damaged: {error}") from error
    if image.width * image.height > limits.pixels:
        raise _too_many_pixels(image.width * image.height, limits, name)
    if max(image.size) > MAX_IMAGE_SIDE:
        raise InputError(
            ProblemType.TOO_MANY_PIXELS,
            f"the {name} has {image.width} x {image.height} pixels; at most {MAX_IMAGE_SIDE} a side are allowed",
            got=max(image.size),
            allowed=MAX_IMAGE_SIDE,
        )
    return image


def _too_many_pixels(pixels: int | None, limits: ImageLimits, name: str) -> InputError:
    return InputError(
        ProblemType.TOO_MANY_PIXELS,
        f"the {name} has {pixels or 'far too many'} pixels; at most {limits.pixels} are allowed",
        got=pixels,
        allowed=limits.pixels,
    )


def _upright(image: Image.Image) -> Image.Image:
    with contextlib.suppress(*_DAMAGED):  # a broken EXIF block does not make the picture worthless
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit grey; Pillow's own conversion would clip it
        grey = np.clip(np.asarray(image, np.float32) / 257.0, 0, 255).round().astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return np.array(_to_srgb(image))


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, *_DAMAGED):  # a profile of another kind or a damaged one: the plain conversion
            return image.convert("RGB")
        if converted is not None:
            return converted
    return image.convert("RGB")
