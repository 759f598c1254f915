"""Files on their way in: their sizes, and what they are by how they begin."""

from collections.abc import Collection
from pathlib import Path

from jobs.media_types import HEAD_BYTES, UNKNOWN, recognise
from jobs.problems import ProblemError, ProblemType


def check_size(path: Path, limit: int, name: str) -> None:
    """Refuse an empty file and one of more than `limit` bytes. Raises ProblemError: unreadable-media or too-large."""
    check_length(path.stat().st_size, limit, name)


def check_length(size: int, limit: int, name: str) -> None:
    """As `check_size`, of so many bytes. Raises ProblemError: unreadable-media or too-large."""
    if size == 0:
        raise ProblemError(ProblemType.UNREADABLE_MEDIA, f"the {name} is empty (0 bytes)", got=0)
    if size > limit:
        raise ProblemError(
            ProblemType.TOO_LARGE, f"the {name} has {size} bytes; at most {limit} are allowed", got=size, allowed=limit
        )


def check_type(path: Path, allowed: Collection[str], what: str, name: str) -> str:
    """The media type of a file by how it begins. Raises ProblemError unsupported-media for one that is not `allowed`.

    `what` says in words what is.
    """
    with path.open("rb") as file:
        return check_head(file.read(HEAD_BYTES), allowed, what, name)


def check_head(head: bytes, allowed: Collection[str], what: str, name: str) -> str:
    """As `check_type`, by the first HEAD_BYTES. Raises ProblemError: unsupported-media."""
    media_type = recognise(head)
    if media_type not in allowed:
        start = head[:8]
        looks = f"it starts with the bytes {start!r}" if media_type == UNKNOWN else f"it looks like {media_type}"
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"the {name} is not {what}; {looks}",
            got=start.hex(" ") if media_type == UNKNOWN else media_type,
            allowed=list(allowed),
        )
    return media_type
