"""What several processes tally together, each a process of its own here too."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.siblings import Siblings
from tests.support.paths import ROOT

OTHER = """
import sys
from pathlib import Path
from service.siblings import Siblings
siblings = Siblings(Path(sys.argv[1]))
tally = siblings.tally("forms")
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Other:
    """A sibling in a process of its own, which is told what to do."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def says(self, expression: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{expression}\n".encode())
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()

    def die(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    with ExitStack() as stack:
        other = Other(tmp_path)
        stack.callback(other.die)
        assert other.says("siblings.seat") == "0"
        yield other


def test_places_are_of_all_and_free_again_when_their_process_dies(other: Other, tmp_path: Path) -> None:
    ours = Siblings(tmp_path)
    assert ours.seat == 1
    assert [ours.take("forms a", 3), ours.take("forms a", 3)] == [0, 1]
    assert [other.says("siblings.take('forms a', 3)") for _ in range(2)] == ["2", "None"]
    assert ours.take("forms a", 3) is None
    assert ours.take("forms b", 3) == 0  # another's
    ours.leave("forms a", 0)
    assert other.says("siblings.take('forms a', 3)") == "0"
    other.die()
    assert [ours.take("forms a", 3) for _ in range(3)] == [0, 2, None]


def test_what_one_counts_all_see_until_it_dies(other: Other, tmp_path: Path) -> None:
    ours = Siblings(tmp_path)
    tally = ours.tally("forms")
    tally.here += 2
    assert other.says("setattr(tally, 'here', 5) or tally.total") == "7"
    ours.forget_dead()
    assert (tally.here, tally.total) == (2, 7)  # it lives
    other.die()
    ours.forget_dead()
    assert tally.total == 2
    third = Other(tmp_path)
    assert third.says("(siblings.seat, tally.here)") == "(0, 0)"
    third.die()


def test_a_single_process_needs_no_folder() -> None:
    alone = Siblings()
    tally = alone.tally("forms")
    tally.here += 1
    assert tally.total == 1
    assert [alone.take("forms a", 2) for _ in range(3)] == [0, 1, None]
    alone.leave("forms a", 0)
    assert alone.take("forms a", 2) == 0
