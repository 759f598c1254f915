"""`pirenderer test` runs pytest in lanes and ends as they do."""

from subprocess import CompletedProcess
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import app


@pytest.mark.parametrize(
    ("arguments", "lanes"),
    [
        ([], ["not alone", "alone"]),
        (["--fast"], ["not alone and not slow"]),
        (["-m", "slow or alone"], ["(slow or alone) and not alone", "(slow or alone) and alone"]),
    ],
)
def test_each_lane_has_its_marks_and_all_arguments(
    arguments: list[str], lanes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = []

    def run(command: list[str], **_: Any) -> CompletedProcess[str]:
        assert command[-4] == "-m"
        assert command[-2:] == ["-x", "tests/jobs"]
        marks.append(command[-3])
        return CompletedProcess(command, 0)

    monkeypatch.setattr("subprocess.run", run)
    assert CliRunner().invoke(app, ["test", *arguments, "-x", "tests/jobs"]).exit_code == 0
    assert marks == lanes


@pytest.mark.parametrize(
    ("codes", "code", "said"),
    [
        ((0, 0), 0, "side by side: passed; alone: passed"),
        ((0, 5), 0, "side by side: passed; alone: no tests"),
        ((1, 0, 0), 0, "side by side: failed; again: passed; alone: passed"),
        ((1, 1, 0), 1, "side by side: failed; again: failed; alone: passed"),
        ((1, 5, 0), 1, "side by side: failed; again: no tests; alone: passed"),
        ((1, 0, 1), 1, "side by side: failed; again: passed; alone: failed"),
        ((2, 0), 2, "side by side: ended with 2; alone: passed"),
        ((0, 4), 4, "side by side: passed; alone: ended with 4"),
        ((5, 5), 5, "side by side: no tests; alone: no tests"),
    ],
)
def test_it_ends_as_the_first_lane_that_fails(
    codes: tuple[int, int], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(codes)
    monkeypatch.setattr("subprocess.run", lambda command, **_: CompletedProcess(command, next(left)))
    result = CliRunner().invoke(app, ["test"])
    assert (result.exit_code, result.output.strip()) == (code, said)
