"""What a job is said to have made."""

import pytest

from jobs.motions import ControlsMotion
from jobs.schemas import ImageSpec, InputFile, JobSpec, MotionSpec, VideoSpec
from worker.make.render import Made
from worker.queue.runner import _counted

FILE = InputFile(key="portrait.jpg", media_type="image/jpeg", bytes=1, sha256="0")
MOTION = ControlsMotion(controls={"yaw": 20.0})


@pytest.mark.parametrize(
    ("spec", "made", "counted"),
    [
        (ImageSpec(portrait=FILE, motion=MOTION), Made("image/png"), {"images": 1}),
        (ImageSpec(portrait=FILE, motions=[MOTION, MOTION]), Made("application/zip", images=2), {"images": 2}),
        (VideoSpec(portrait=FILE, audio=FILE), Made("video/mp4", frames=50), {"frames": 50}),
        (MotionSpec(source=FILE), Made("application/json", frames=50), {}),
    ],
)
def test_pictures_are_counted(spec: JobSpec, made: Made, counted: dict[str, int]) -> None:
    assert _counted(spec, made) == counted
