"""Checks a submitted motion against the installed models, before it becomes a job."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from jobs.documents import InvalidJsonError, read_document
from jobs.motion_spaces import Spaces, checked_moving, checked_still
from jobs.motions import Motion, form_of
from jobs.problems import ProblemType
from jobs.schemas import MOTION, MOTIONS
from service.http.problems import ProblemError, validation_error
from service.intake.weight import check_numbers, check_weight, chunks_of

T = TypeVar("T")

# Texts of at most 512 bytes each, and what is between them; possessive, so that nothing is looked at twice
SHORT_TEXTS = re.compile(rb'(?:[^"]*+"(?:[^"\\]|\\.){0,512}+")*+[^"]*+', re.DOTALL)


Check = Callable[[Motion, Spaces, str], Motion]


def parse_motion(text: bytes, spaces: Spaces, check: Check) -> Motion:
    """Read a motion and check form, space, length and ranges. Raises ProblemError naming value and what is allowed."""
    return check(_read(MOTION, text, "motion", tag=0), spaces, "motion")


def parse_motions(text: bytes, spaces: Spaces) -> list[Motion]:
    """Read a list of still motions and check each. Raises ProblemError, which says which of them."""
    motions = _read(MOTIONS, text, "motions", tag=1)
    return [checked_still(motion, spaces, f"motions.{index}") for index, motion in enumerate(motions)]


def check_motion_file(path: Path, spaces: Spaces) -> str:
    """The same for a long motion of a video that lies in a file; its form. Raises ProblemError."""
    return form_of(parse_motion(_weighed(path, spaces, "motion"), spaces, checked_moving))


def check_motions_file(path: Path, spaces: Spaces) -> int:
    """The same for a long list of still motions; says how many there are. Raises ProblemError."""
    return len(parse_motions(_weighed(path, spaces, "motions"), spaces))


def _weighed(path: Path, spaces: Spaces, where: str) -> bytes:
    """The text of a file, if parsing it takes no more memory than the largest motion would. Raises ProblemError."""
    check_weight(chunks_of(path), spaces, where, ProblemType.INVALID_MOTION)
    check_numbers(chunks_of(path), where, ProblemType.INVALID_MOTION)
    text = path.read_bytes()
    if SHORT_TEXTS.fullmatch(text) is None:
        raise ProblemError(
            ProblemType.INVALID_MOTION, f"{where} has a text of more than 512 bytes, or one without an end", allowed=512
        )
    return text


def _read(schema: TypeAdapter[T], text: bytes, where: str, *, tag: int) -> T:
    try:
        return read_document(schema, text)
    except InvalidJsonError as error:
        raise ProblemError(
            ProblemType.BAD_REQUEST, f"{where}: {error}", got=text[:200].decode(errors="replace")
        ) from error
    except ValidationError as error:
        raise validation_error(ProblemType.INVALID_MOTION, error, where=where, tag=tag) from error
