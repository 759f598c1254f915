from typing import NamedTuple

import pytest

from jobs.motion_spaces import MotionSpace, checked_beside, checked_moving, checked_still
from jobs.motions import CoefficientsMotion, ControlsMotion, FramesMotion, Keyframe, KeyframesMotion, Motion
from jobs.problems import ProblemError, ProblemType


class Range(NamedTuple):
    minimum: float
    maximum: float
    unit: str


SPACES = {"open478": MotionSpace("open478", 70, {"yaw": Range(-45, 45, "degrees")})}
POSE = CoefficientsMotion(space="open478", coefficients=[0.0] * 70)
SEQUENCE = FramesMotion(space="open478", frames=[[0.0] * 70])


def test_what_keeps_within_its_space_is_taken_as_it_is() -> None:
    for pose in (POSE, ControlsMotion(controls={"yaw": 45})):
        assert checked_still(pose, SPACES, "motion") is pose
    for sequence in (SEQUENCE, KeyframesMotion(keyframes=[Keyframe(t=0, controls={"yaw": -45})])):
        assert checked_moving(sequence, SPACES, "motion") is sequence


@pytest.mark.parametrize(
    ("motion", "problem", "detail"),
    [
        (SEQUENCE, "INVALID_MOTION", "an image needs a motion of controls or coefficients, got frames"),
        (
            CoefficientsMotion(space="bfm-deep3d", coefficients=[0.0] * 73),
            "WRONG_MOTION_SPACE",
            "motions.3.space is 'bfm-deep3d'; the installed renderer speaks open478",
        ),
        (
            CoefficientsMotion(space="open478", coefficients=[0.0] * 69),
            "INVALID_MOTION",
            "motions.3.coefficients has 69 numbers; space open478 has 70",
        ),
        (
            ControlsMotion(controls={"wings": 1}),
            "INVALID_MOTION",
            "motions.3.controls has no control 'wings'; space open478 has yaw",
        ),
        (
            ControlsMotion(controls={"yaw": 46}),
            "INVALID_MOTION",
            "motions.3.controls.yaw is 46; allowed is -45 to 45 degrees",
        ),
    ],
)
def test_a_still_motion_that_cannot_be_drawn_is_refused(motion: Motion, problem: str, detail: str) -> None:
    with pytest.raises(ProblemError) as caught:
        checked_still(motion, SPACES, "motions.3")
    assert (caught.value.problem_type, caught.value.detail) == (ProblemType[problem], detail)


@pytest.mark.parametrize(
    ("motion", "detail"),
    [
        (POSE, "a video needs a motion of frames or keyframes, got coefficients"),
        (
            FramesMotion(space="open478", frames=[[0.0] * 70, [0.0] * 69]),
            "motion.frames.1 has 69 numbers; space open478 has 70",
        ),
        (
            KeyframesMotion(keyframes=[Keyframe(t=0, controls={}), Keyframe(t=1, controls={"yaw": -50})]),
            "motion.keyframes.1.controls.yaw is -50; allowed is -45 to 45 degrees",
        ),
    ],
)
def test_a_sequence_that_cannot_be_drawn_is_refused(motion: Motion, detail: str) -> None:
    with pytest.raises(ProblemError) as caught:
        checked_moving(motion, SPACES, "motion")
    assert (caught.value.problem_type, caught.value.detail) == (ProblemType.INVALID_MOTION, detail)


PUT_ON_TOP = (ControlsMotion(controls={"yaw": 45}), KeyframesMotion(keyframes=[Keyframe(t=0, controls={"yaw": -45})]))


def test_beside_speech_any_motion_is_taken_and_beside_a_driving_video_what_is_put_on_top() -> None:
    for motion in (POSE, SEQUENCE, *PUT_ON_TOP):
        assert checked_beside(motion, SPACES, "motion", driven=False) is motion
    for motion in PUT_ON_TOP:
        assert checked_beside(motion, SPACES, "motion", driven=True) is motion


@pytest.mark.parametrize(
    ("motion", "driven", "problem", "got", "detail"),
    [
        (
            each,
            True,
            "INVALID_MOTION",
            form,
            f"a video with a driving video needs a motion of controls or keyframes, got {form}",
        )
        for each, form in ((POSE, "coefficients"), (SEQUENCE, "frames"))
    ]
    + [
        (
            ControlsMotion(controls={"yaw": 46}),
            False,
            "INVALID_MOTION",
            46,
            "motion.controls.yaw is 46; allowed is -45 to 45 degrees",
        ),
        (
            KeyframesMotion(keyframes=[Keyframe(t=0, controls={"wings": 1})]),
            True,
            "INVALID_MOTION",
            "wings",
            "motion.keyframes.0.controls has no control 'wings'; space open478 has yaw",
        ),
        (
            ControlsMotion(space="bfm-deep3d", controls={}),
            True,
            "WRONG_MOTION_SPACE",
            "bfm-deep3d",
            "motion.space is 'bfm-deep3d'; the installed renderer speaks open478",
        ),
    ],
)
def test_what_cannot_be_beside_others_is_refused(
    motion: Motion, driven: bool, problem: str, got: object, detail: str
) -> None:
    with pytest.raises(ProblemError) as caught:
        checked_beside(motion, SPACES, "motion", driven=driven)
    error = caught.value
    assert (error.problem_type, error.got, error.detail) == (ProblemType[problem], got, detail)
