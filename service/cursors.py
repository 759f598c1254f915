"""Cursors of lists: opaque to clients, a creation number to us."""

import base64

from service.jobs.problems import ProblemType
from service.problems import ProblemError


def encode_cursor(before: int | None) -> str | None:
    """The cursor that asks for what was made before number `before`; None at the end."""
    return None if before is None else base64.urlsafe_b64encode(b"%d" % before).decode()


def decode_cursor(cursor: str | None) -> int | None:
    """The number a cursor stands for. Raises ProblemError (400)."""
    if cursor is None or not cursor:
        return None
    try:
        return int(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except ValueError as error:
        raise ProblemError(
            ProblemType.BAD_REQUEST, f"cursor {cursor!r} is not a next_cursor of ours", got=cursor
        ) from error
