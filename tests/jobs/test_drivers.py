"""What drives a portrait on the command line, and what is made by it."""

from pathlib import Path

import pytest
import typer

from jobs.drivers import read_drivers
from jobs.motions import ControlsMotion, KeyframesMotion
from tests.support.paths import ROOT


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Path]:
    """Files of each kind, as their first bytes tell."""
    contents = {
        "audio": (ROOT / "service" / "samples" / "speech.flac").read_bytes(),
        "video": b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        "image": (ROOT / "service" / "samples" / "portrait.jpg").read_bytes(),
        "motion": b'{"keyframes": [{"t": 0, "controls": {}}]}',
    }
    files = {name: tmp_path / name for name in contents}
    for name, path in files.items():
        path.write_bytes(contents[name])
    return files


@pytest.mark.parametrize(
    ("driven", "kind"),
    [
        ({"control": ["yaw=5"]}, "image"),
        ({"driving": "image"}, "image"),
        ({"motion": "motion"}, "video"),
        ({"driving": "video"}, "video"),
        ({"control": ["yaw=5"], "audio": "audio"}, "video"),
        ({"motion": "motion", "audio": "audio"}, "video"),
        ({"control": ["yaw=5"], "driving": "video"}, "video"),
        ({"motion": "motion", "audio": "audio", "driving": "video"}, "video"),
    ],
)
def test_several_make_a_video(given: dict[str, Path], driven: dict[str, str | list[str]], kind: str) -> None:
    names = {"control": None, "motion": None, "audio": None, "driving": None}
    asked = {name: given[value] if isinstance(value, str) else value for name, value in driven.items()}
    drivers = read_drivers(absolute=False, **{**names, **asked})  # type: ignore[arg-type]
    assert drivers.kind == kind
    form = ControlsMotion if "control" in driven else KeyframesMotion if "motion" in driven else type(None)
    assert isinstance(drivers.motion, form)
    assert (drivers.audio is not None, drivers.driving is not None) == ("audio" in driven, "driving" in driven)


def test_controls_and_a_motion_are_two_of_the_same(given: dict[str, Path]) -> None:
    allowed = "at least one of --audio, --driving, and either --control or --motion, is needed"
    with pytest.raises(typer.BadParameter, match=f"{allowed}, got --control, --motion"):
        read_drivers(control=["yaw=5"], absolute=False, motion=given["motion"], audio=given["audio"], driving=None)
