"""Checks a submitted motion against the installed models, before it becomes a job."""

import re
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from jobs.documents import InvalidJsonError, read_document
from jobs.motion_spaces import Spaces, checked_moving, checked_still
from jobs.motions import MAX_CONTROLS, MAX_FRAMES, MAX_KEYFRAMES, Motion
from jobs.problems import ProblemType
from jobs.schemas import MOTION, MOTIONS
from service.http.problems import ProblemError, validation_error

T = TypeVar("T")

CHUNK = 1 << 20
# What a motion may hold beside its vectors. Each frame can have a confidence and a shot, which are six values; the shot
# and its crop are objects with five names. Keyframes have `t`, `controls` and the names of those.
VALUES_BESIDE = 6
OBJECTS = 2 * MAX_FRAMES
NAMES = max(5 * MAX_FRAMES, MAX_KEYFRAMES * (MAX_CONTROLS + 2))
LONG_NUMBER = 512  # digits
FEW = 16  # fields and lists around all this
# Texts of at most 512 bytes each, and what is between them; possessive, so that nothing is looked at twice
SHORT_TEXTS = re.compile(rb'(?:[^"]*+"(?:[^"\\]|\\.){0,512}+")*+[^"]*+', re.DOTALL)


def parse_motion(text: bytes, spaces: Spaces, *, moving: bool) -> Motion:
    """Read a motion and check form, space, length and ranges. Raises ProblemError naming value and what is allowed."""
    motion = _read(MOTION, text, "motion", tag=0)
    return checked_moving(motion, spaces, "motion") if moving else checked_still(motion, spaces, "motion")


def parse_motions(text: bytes, spaces: Spaces) -> list[Motion]:
    """Read a list of still motions and check each. Raises ProblemError, which says which of them."""
    motions = _read(MOTIONS, text, "motions", tag=1)
    return [checked_still(motion, spaces, f"motions.{index}") for index, motion in enumerate(motions)]


def check_motion_file(path: Path, spaces: Spaces) -> int:
    """The same for a long motion of a video that lies in a file; it is one. Raises ProblemError."""
    parse_motion(_weighed(path, spaces, "motion"), spaces, moving=True)
    return 1


def check_motions_file(path: Path, spaces: Spaces) -> int:
    """The same for a long list of still motions; says how many there are. Raises ProblemError."""
    return len(parse_motions(_weighed(path, spaces, "motions"), spaces))


def _weighed(path: Path, spaces: Spaces, where: str) -> bytes:
    """The text of a file, if parsing it takes no more memory than the largest motion would. Raises ProblemError.

    A byte of JSON can become a hundred of memory, so what it would become is counted before.
    """
    dimension = max((space.dimension for space in spaces.values()), default=0)
    bounds = {
        b",": ("values", MAX_FRAMES * (dimension + VALUES_BESIDE)),
        b"[": ("lists", MAX_FRAMES + FEW),
        b"{": ("objects", OBJECTS + FEW),
        b'"': ("quotation marks", 2 * (NAMES + FEW)),
    }
    counts = dict.fromkeys(bounds, 0)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for sign, (what, most) in bounds.items():
                counts[sign] += chunk.count(sign)
                if counts[sign] > most:
                    raise ProblemError(
                        ProblemType.INVALID_MOTION,
                        f"{where} has more {what} than the {most} that the largest motion has",
                        got=f"> {most}",
                        allowed=most,
                    )
            # wherever a run of twice as many digits begins, it holds such a block
            if any(chunk[at : at + LONG_NUMBER].isdigit() for at in range(0, len(chunk), LONG_NUMBER)):
                raise ProblemError(
                    ProblemType.INVALID_MOTION,
                    f"{where} has a number of more than {LONG_NUMBER} digits",
                    allowed=LONG_NUMBER,
                )
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
