"""What parsing a JSON text would take: a byte of it can become a hundred of memory, so that is counted before."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from jobs.motion_spaces import Spaces
from jobs.motions import MAX_CONTROLS, MAX_FRAMES, MAX_KEYFRAMES
from jobs.problems import ProblemType
from service.http.problems import ProblemError

CHUNK = 1 << 20
# What a motion may hold beside its vectors. Each frame can have a confidence and a shot, which are six values; the shot
# and its crop are objects with five names. Keyframes have `t`, `controls` and the names of those.
VALUES_BESIDE = 6
OBJECTS = 2 * MAX_FRAMES
NAMES = max(5 * MAX_FRAMES, MAX_KEYFRAMES * (MAX_CONTROLS + 2))
LONG_NUMBER = 512  # digits
FEW = 256  # fields and lists around all this


def chunks_of(path: Path) -> Iterator[bytes]:
    """A file, bit by bit."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


class Weight:
    """Counts what parsing a text would make of it, and ends at more than the largest motion has."""

    def __init__(self, spaces: Spaces, where: str, problem_type: ProblemType) -> None:
        dimension = max((space.dimension for space in spaces.values()), default=0)
        self._bounds = {
            b",": ("values", MAX_FRAMES * (dimension + VALUES_BESIDE)),
            b"[": ("lists", MAX_FRAMES + FEW),
            b"{": ("objects", OBJECTS + FEW),
            b'"': ("quotation marks", 2 * (NAMES + FEW)),
        }
        self._counts = dict.fromkeys(self._bounds, 0)
        self._where, self._problem_type = where, problem_type

    def add(self, chunk: bytes) -> None:
        """Count the next bytes. Raises ProblemError."""
        for sign, (what, most) in self._bounds.items():
            self._counts[sign] += chunk.count(sign)
            if self._counts[sign] > most:
                raise ProblemError(
                    self._problem_type,
                    f"{self._where} has more {what} than the {most} that the largest motion has",
                    got=f"> {most}",
                    allowed=most,
                )


def check_weight(chunks: Iterable[bytes], spaces: Spaces, where: str, problem_type: ProblemType) -> None:
    """Refuse a text that parsing would make more of than the largest motion. Raises ProblemError."""
    weight = Weight(spaces, where, problem_type)
    for chunk in chunks:
        weight.add(chunk)


def check_numbers(chunks: Iterable[bytes | bytearray], where: str, problem_type: ProblemType) -> None:
    """Refuse a text with a number that takes long to read. Raises ProblemError."""
    for chunk in chunks:
        # wherever a run of twice as many digits begins, it holds such a block
        if any(chunk[at : at + LONG_NUMBER].isdigit() for at in range(0, len(chunk), LONG_NUMBER)):
            raise ProblemError(
                problem_type, f"{where} has a number of more than {LONG_NUMBER} digits", allowed=LONG_NUMBER
            )
