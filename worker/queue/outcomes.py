"""How what a worker has claimed ended."""

from enum import Enum
from typing import NamedTuple

from jobs.schemas import Result
from jobs.store.records import Found, Fragment


class Stored(NamedTuple):
    """A job that succeeded: its result, the key of the file, and how many pictures are counted.

    `fragment` is the only one of a video that was not cut.
    """

    result: Result
    key: str
    made: dict[str, int]
    fragment: Fragment | None = None


class Planned(NamedTuple):
    """The plan of a video that came to its end: how many frames it has, and what was found besides."""

    frames: int
    found: Found


class Unfinished(Enum):
    """What neither succeeded nor failed."""

    CANCELED = "canceled"
    LET_GO = "let go"
