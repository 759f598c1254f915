"""Photos in and out: whatever a person uploads becomes upright RGB; results become PNG, JPEG or WebP."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms

from jobs.formats import ImageFormat
from jobs.image_headers import ImageHeaderError, check_image, check_pixels
from jobs.media_types import HEAD_BYTES, IMAGE_TYPES, IMAGES, listed
from jobs.problems import ProblemError, ProblemType
from model.arrays import Pixels
from worker.media.files import check_head, check_length, check_size, check_type
from worker.media.heif import read_heic
from worker.media.limits import ImageLimits
from worker.media.marking import XMP, png_mark

# Our own limit is applied to the size in the header, before pixels are decoded; Pillow's would only warn.
Image.MAX_IMAGE_PIXELS = None

# What Pillow's and FFmpeg's decoders raise on damaged files, besides OSError.
_DAMAGED = (
    *(OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, EOFError),
    *(RuntimeError, ImageHeaderError, av.FFmpegError, struct.error, zlib.error),
)
STRIP_PIXELS = 1 << 20  # what is converted at once: a whole photo's copies would take more memory than it does


def read_image(path: Path, limits: ImageLimits, *, name: str = "portrait") -> Pixels:
    """Decode a JPEG, PNG, WebP, HEIC or AVIF file to upright RGB, uint8 (H, W, 3).

    EXIF orientation is applied, or what stands in its place; embedded colour profiles are converted to sRGB,
    transparency is laid on white, and grey, palette, CMYK and 16-bit pictures become 8-bit RGB. Of an animation the
    first picture is taken.

    `name` is what messages call the file. Raises ProblemError: too-large, unsupported-media, too-many-pixels or
    unreadable-media.
    """
    check_size(path, limits.bytes, name)
    media_type = check_type(path, IMAGE_TYPES, f"an image ({listed(IMAGES)})", name)
    check_image(f"the {name}", path, media_type, max_pixels=limits.pixels, max_side=limits.side)
    with _damage_told(media_type, name):
        return _upright(*_decoded(path, media_type, limits, name))


def read_jpeg(data: bytes, limits: ImageLimits, *, name: str) -> Pixels:
    """As `read_image`, of a JPEG that is in memory. Raises ProblemError: the same."""
    check_length(len(data), limits.bytes, name)
    media_type = check_head(data[:HEAD_BYTES], ["image/jpeg"], "a JPEG", name)
    check_image(f"the {name}", data, media_type, max_pixels=limits.pixels, max_side=limits.side)
    with _damage_told(media_type, name), Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        _check_pixels(name, image.size, limits)
        return _upright(*_loaded(image))


def encode_image(rgb: Pixels, image_format: ImageFormat, *, quality: int = 95) -> bytes:
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


@contextmanager
def _damage_told(media_type: str, name: str) -> Iterator[None]:
    """What decoders say of damage becomes a ProblemError: unreadable-media."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about damaged EXIF, which is handled here
        try:
            yield
        except _DAMAGED as error:
            kind = media_type.partition("/")[2].upper()
            raise ProblemError(
                ProblemType.UNREADABLE_MEDIA, f"the {name} is a damaged or truncated {kind} file: {error}"
            ) from error


def _decoded(path: Path, media_type: str, limits: ImageLimits, name: str) -> tuple[Pixels, int]:
    """RGB as it is stored, and its EXIF orientation. Raises what decoders raise, and ProblemError: too-many-pixels."""
    if media_type == "image/heic":
        rgb, profile = read_heic(path, most_pixels=limits.pixels)
        _check_pixels(name, (rgb.shape[1], rgb.shape[0]), limits)
        image = Image.fromarray(rgb)
        del rgb
        image.info["icc_profile"] = profile
        return _to_rgb(image), 1  # turned already, and its EXIF does not count
    with Image.open(path, formats=[media_type.partition("/")[2].upper()]) as image:
        _check_pixels(name, image.size, limits)
        if media_type != "image/webp" or getattr(image, "is_animated", False):
            return _loaded(image)
        orientation, info = _orientation(image), image.info
    del image
    still = _still_webp(path)
    still.info = info
    return _to_rgb(still), orientation


def _loaded(image: Image.Image) -> tuple[Pixels, int]:
    orientation = _orientation(image)
    image.load()
    return _to_rgb(image), orientation


def _check_pixels(name: str, size: tuple[int, int], limits: ImageLimits) -> None:
    check_pixels(f"the {name}", size, max_pixels=limits.pixels, max_side=limits.side)


def _still_webp(path: Path) -> Image.Image:
    """By OpenCV: Pillow reads every WebP as an animation, and holds four pictures for that."""
    stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise OSError("its picture ends early or is damaged")
    to_rgb = cv2.COLOR_BGRA2RGBA if stored.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return Image.fromarray(cv2.cvtColor(stored, to_rgb, dst=stored))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _DAMAGED:  # a broken EXIF block does not make the picture worthless
        return 1


def _upright(rgb: Pixels, orientation: int) -> Pixels:
    """By an EXIF orientation: from 5 on rows become columns, and then what is mirrored is."""
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    turned = rgb.swapaxes(0, 1) if 5 <= orientation <= 8 else rgb
    return np.ascontiguousarray(turned[::rows, ::columns])


def _to_rgb(image: Image.Image) -> Pixels:
    """sRGB (H, W, 3), transparency laid on white."""
    to_srgb = _conversion(image)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        rgb[top : top + rows] = np.asarray(_on_white(*_colour_and_alpha(strip), to_srgb))
    return rgb


def _colour_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit grey; Pillow's own conversion would clip it
        deep = np.asarray(image, np.float32)
        transparent = image.info.get("transparency")
        alpha = None if transparent is None else Image.fromarray(np.where(deep == transparent, 0, 255).astype(np.uint8))
        return Image.fromarray(np.clip(deep / 257.0, 0, 255).round().astype(np.uint8)), alpha
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    return image, None


def _on_white(
    colour: Image.Image, alpha: Image.Image | None, to_srgb: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    if alpha is None:
        return to_srgb(colour)
    white = Image.new("RGB", colour.size, "white")
    white.paste(to_srgb(colour), mask=alpha)
    return white


def _conversion(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """To sRGB by the image's colour profile; without one, or with one of another kind, or a damaged one, plainly."""

    def plainly(strip: Image.Image) -> Image.Image:
        return strip.convert("RGB")

    profile: Any = image.info.get("icc_profile")
    if not profile:
        return plainly
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(source.profile.xcolor_space.strip())
        grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
        if mode is None or (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and not grey):
            return plainly
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, *_DAMAGED):
        return plainly

    def by_profile(strip: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(strip if strip.mode == mode else strip.convert(mode), transform)
        assert converted is not None  # noqa: S101 - only a transformation in place gives nothing back
        return converted

    return by_profile
