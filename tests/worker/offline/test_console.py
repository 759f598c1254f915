"""What a job on the command line says when it has ended."""

import json
from pathlib import Path

import pytest

from jobs.schemas import Result
from model.renderer.prior.reach import Reach
from worker.make.output import Clamped, Output
from worker.offline.console import show_outcome

REACH = Reach(yaw=(-27.7, 45), pitch=(-0.2, 35))


def test_a_result_is_made_of_what_is_told_of_the_output() -> None:
    made = Output("image/png", width=510, clamped=Clamped(2, REACH))
    assert {*made.told(), "bytes", "sha256"} == set(Result.model_fields)
    assert Result(bytes=7, sha256="", **made.told()).clamped == 2


def told(made: Output, capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> str:
    show_outcome(Path("out"), made, {}, as_json=as_json)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (Output("video/mp4", frames=20, fps=25, duration=0.8, clamped=Clamped(12, REACH)), "12 frames turned"),
        (Output("application/zip", images=3, clamped=Clamped(2, REACH)), "2 images turned"),
        (Output("image/png", clamped=Clamped(1, REACH)), "1 image turned"),
    ],
)
def test_it_says_how_far_the_portrait_can_be_turned(
    made: Output, count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = told(made, capsys)
    assert f"{count} less than asked" in line
    assert "yaw can be -28 to 45 and pitch 0 to 35 degrees" in line


def test_it_says_nothing_of_turns_where_none_was_reduced(capsys: pytest.CaptureFixture[str]) -> None:
    made = Output("image/png", width=510, height=600)
    assert told(made, capsys) == "out: image/png, 510 x 600"
    result = json.loads(told(made, capsys, as_json=True))["result"]
    assert result == {"media_type": "image/png", "width": 510, "height": 600}


def test_as_json_it_is_the_number_that_the_api_tells(capsys: pytest.CaptureFixture[str]) -> None:
    made = Output("application/zip", images=3, clamped=Clamped(2, REACH))
    assert json.loads(told(made, capsys, as_json=True))["result"]["clamped"] == 2
