"""Takes uploads by what they begin with."""

from collections.abc import Sequence

from jobs.media_types import SOUND_OF, recognise
from jobs.problems import ProblemType
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
