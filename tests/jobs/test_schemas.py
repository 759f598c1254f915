"""What a job says of what it is made of."""

import pytest

from jobs.motions import ControlsMotion, Keyframe, KeyframesMotion
from jobs.schemas import (
    ImageOptions,
    ImageSpec,
    InputFile,
    JobInput,
    JobSpec,
    MotionOptions,
    MotionsFile,
    MotionSpec,
    VideoOptions,
    VideoSpec,
)

FILE = InputFile(key="00/secret", media_type="image/png", bytes=1, sha256="0")
MANY = MotionsFile(**FILE.model_dump(), count=20)
TURN = ControlsMotion(controls={"yaw": 20})
SWAY = KeyframesMotion(keyframes=[Keyframe(t=0, controls={}), Keyframe(t=1, controls={"yaw": 5})])


@pytest.mark.parametrize(
    "spec",
    [
        ImageSpec(portrait=FILE, motion=TURN, options=ImageOptions(size=512)),
        ImageSpec(portrait=FILE, motions=[TURN, TURN]),
        ImageSpec(portrait=FILE, motions_file=MANY),
        ImageSpec(portrait=FILE, driving=FILE),
        VideoSpec(portrait=FILE, audio=FILE, text="Good morning.", voice="en", options=VideoOptions(seed=7)),
        VideoSpec(portrait=FILE, audio=FILE, driving=FILE, motion=SWAY),
        VideoSpec(portrait=FILE, motion_file=FILE),
        MotionSpec(source=FILE, options=MotionOptions(overlay=True)),
    ],
)
def test_an_input_is_all_of_a_specification_but_where_files_are(spec: JobSpec) -> None:
    given = JobInput.of(spec)
    assert type(given.options) is type(spec.options)
    expected = spec.model_dump(exclude={"kind"}, exclude_none=True)
    for value in expected.values():
        if isinstance(value, dict) and value.pop("key", None):
            value.pop("count", None)
    assert given.model_dump(exclude_none=True) == expected
    assert "secret" not in given.model_dump_json()
