"""What a job has written, as it is told of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.problems import ProblemError, ProblemType
from model.extractor import Extraction
from model.renderer.prior.reach import Reach


@dataclass(frozen=True)
class Clamped:
    """How many frames or images were turned less than asked, and how far the portrait can be turned."""

    count: int
    reach: Reach


def clamped(face: Extraction, count: int) -> Clamped | None:
    """What is told of so many turns of a portrait that were reduced: nothing of none."""
    return Clamped(count, Reach.of(face.motion)) if count else None


@dataclass(frozen=True)
class Output:
    """A jobs.schemas.Result but for the bytes and the checksum of the file; `clamped` says more than there."""

    media_type: str
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    fps: float | None = None
    duration: float | None = None
    images: int | None = None
    frames_without_face: int | None = None
    clamped: Clamped | None = None

    def told(self) -> dict[str, Any]:
        """Its fields as a result has them."""
        return {**vars(self), "clamped": self.clamped and self.clamped.count}


def check_size(output: Path, most: int, done: str, advice: str) -> None:
    """Refuse a file that grows too large while it is written: `done` says what is in it. Raises ProblemError."""
    size = output.stat().st_size
    if size > most:
        raise ProblemError(
            ProblemType.TOO_LARGE,
            f"{done} have {size} bytes; allowed are {most} for all; {advice} may do",
            got=size,
            allowed=most,
        )
