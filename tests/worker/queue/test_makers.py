import pytest

from jobs.motions import ControlsMotion
from jobs.schemas import ImageOptions, ImageSpec, InputFile, JobKind, JobSpec, MotionOptions, MotionSpec
from worker.make.output import Output
from worker.queue.makers import MAKERS

PHOTO = InputFile(key="a", media_type="image/jpeg", bytes=1, sha256="")
POSE = ControlsMotion(controls={"yaw": 1})


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (ImageSpec(portrait=PHOTO, motion=POSE), "result.png"),
        (ImageSpec(portrait=PHOTO, motion=POSE, options=ImageOptions(format="jpeg")), "result.jpg"),
        (ImageSpec(portrait=PHOTO, motions=[POSE, POSE]), "result.zip"),
        (MotionSpec(source=PHOTO), "result.json"),
        (MotionSpec(source=PHOTO, options=MotionOptions(overlay=True)), "result.zip"),
    ],
)
def test_a_result_is_called_by_its_format(spec: JobSpec, name: str) -> None:
    assert MAKERS[spec.kind].output_name(spec) == name


def test_each_kind_of_job_but_videos_has_a_maker() -> None:
    assert set(MAKERS) == set(JobKind) - {JobKind.VIDEO}


@pytest.mark.parametrize(
    ("spec", "made", "counted"),
    [
        (ImageSpec(portrait=PHOTO, motion=POSE), Output("image/png"), {"images": 1}),
        (ImageSpec(portrait=PHOTO, motions=[POSE, POSE]), Output("application/zip", images=2), {"images": 2}),
        (MotionSpec(source=PHOTO), Output("application/json", frames=50), {}),
    ],
)
def test_pictures_are_counted(spec: JobSpec, made: Output, counted: dict[str, int]) -> None:
    assert MAKERS[spec.kind].counted(made) == counted
