"""Takes uploads by what they begin with, and images by their header's word on their size, decoding nothing."""

from collections.abc import Sequence
from pathlib import Path

from jobs.image_headers import ImageHeaderError, image_size
from jobs.media_types import SOUND_OF, recognise
from jobs.problems import ProblemType
from jobs.schemas import MAX_IMAGE_SIDE
from service.http.problems import ProblemError


def accept(field: str, head: bytes, allowed: Sequence[str]) -> str:
    """The media type of an upload if its field takes it. Raises ProblemError (415, or 422 for an empty file)."""
    if not head:
        raise ProblemError(
            ProblemType.UNREADABLE_MEDIA, f"{field} is an empty file", got="0 bytes", allowed=list(allowed)
        )
    media_type = recognise(head)
    if media_type not in allowed and SOUND_OF.get(media_type) in allowed:
        media_type = SOUND_OF[media_type]
    if media_type not in allowed:
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"{field} looks like {media_type}; allowed are {', '.join(allowed)}",
            got=media_type,
            allowed=list(allowed),
        )
    return media_type


def check_image(field: str, path: Path, media_type: str, *, max_pixels: int) -> tuple[int, int]:
    """Read an image's width and height from its header. Raises ProblemError: header unreadable, too many pixels."""
    try:
        width, height = image_size(path, media_type)
    except ImageHeaderError as error:
        raise ProblemError(
            ProblemType.UNREADABLE_MEDIA, f"{field} {error}", got=error.got, allowed=error.allowed
        ) from error
    if width * height > max_pixels:
        raise ProblemError(
            ProblemType.TOO_MANY_PIXELS,
            f"{field} has {width} x {height} = {width * height} pixels; allowed are {max_pixels}",
            got=width * height,
            allowed=max_pixels,
        )
    if max(width, height) > MAX_IMAGE_SIDE:
        raise ProblemError(
            ProblemType.TOO_MANY_PIXELS,
            f"{field} has {width} x {height} pixels; allowed are {MAX_IMAGE_SIDE} a side",
            got=max(width, height),
            allowed=MAX_IMAGE_SIDE,
        )
    return width, height
