"""Motion spaces, and whether a motion is one that they hold: what both ends ask before they work with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from jobs.motions import (
    NAMED_FORMS,
    CoefficientsMotion,
    ControlsMotion,
    FramesMotion,
    KeyframesMotion,
    Motion,
    MovingMotion,
    StillMotion,
    form_of,
)
from jobs.problems import ProblemError, ProblemType


class Control(Protocol):
    """The range of a named control, in `unit`."""

    @property
    def minimum(self) -> float:
        """The least that is allowed."""
        ...

    @property
    def maximum(self) -> float:
        """The most that is allowed."""
        ...

    @property
    def unit(self) -> str:
        """What its numbers are; empty for mere numbers."""
        ...


AnyControl_co = TypeVar("AnyControl_co", bound=Control, covariant=True)


@dataclass(frozen=True)
class MotionSpace(Generic[AnyControl_co]):
    """A motion space that can be rendered: dimension D of its vectors and the controls that name its directions."""

    name: str
    dimension: int
    controls: Mapping[str, AnyControl_co]


Spaces = Mapping[str, MotionSpace[Control]]


def checked_still(motion: Motion, spaces: Spaces, where: str) -> StillMotion:
    """A motion for an image, if its space is known and it keeps within its bounds; `where` is what messages call it.

    Raises ProblemError: invalid-motion or wrong-motion-space.
    """
    if not isinstance(motion, StillMotion):
        raise _wrong_form(form_of(motion), "an image", ["controls", "coefficients"])
    _check(motion, spaces, where)
    return motion


def checked_moving(motion: Motion, spaces: Spaces, where: str) -> MovingMotion:
    """The same of a motion for a video."""
    if not isinstance(motion, MovingMotion):
        raise _wrong_form(form_of(motion), "a video", ["frames", "keyframes"])
    _check(motion, spaces, where)
    return motion


def checked_beside(motion: Motion, spaces: Spaces, where: str, *, driven: bool) -> Motion:
    """The same of a motion beside speech or a driving video.

    `driven` says that there is such a video: then it can only be put on top, as no two can hold one head.
    """
    if driven:
        check_beside_driver(form_of(motion))
    _check(motion, spaces, where)
    return motion


def check_beside_driver(form: str) -> None:
    """Refuse a motion of a form that holds the head itself, where a driving video does. Raises ProblemError."""
    if form not in NAMED_FORMS:
        raise _wrong_form(form, "a video with a driving video", list(NAMED_FORMS))


def _check(motion: Motion, spaces: Spaces, where: str) -> None:
    space = spaces.get(motion.space)
    if space is None:
        allowed = sorted(spaces)
        raise ProblemError(
            ProblemType.WRONG_MOTION_SPACE,
            f"{where}.space is {motion.space!r}; the installed renderer speaks {', '.join(allowed)}",
            got=motion.space,
            allowed=allowed,
        )
    match motion:
        case ControlsMotion():
            _check_controls(motion.controls, space, f"{where}.controls")
        case CoefficientsMotion():
            _check_length(motion.coefficients, space, f"{where}.coefficients")
        case FramesMotion():
            for index, frame in enumerate(motion.frames):
                _check_length(frame, space, f"{where}.frames.{index}")
        case KeyframesMotion():
            for index, keyframe in enumerate(motion.keyframes):
                _check_controls(keyframe.controls, space, f"{where}.keyframes.{index}.controls")


def _wrong_form(got: str, what: str, allowed: list[str]) -> ProblemError:
    return ProblemError(
        ProblemType.INVALID_MOTION,
        f"{what} needs a motion of {' or '.join(allowed)}, got {got}",
        got=got,
        allowed=allowed,
    )


def _check_length(vector: list[float], space: MotionSpace[Control], where: str) -> None:
    if len(vector) != space.dimension:
        raise ProblemError(
            ProblemType.INVALID_MOTION,
            f"{where} has {len(vector)} numbers; space {space.name} has {space.dimension}",
            got=len(vector),
            allowed=space.dimension,
        )


def _check_controls(values: dict[str, float], space: MotionSpace[Control], where: str) -> None:
    for name, value in values.items():
        control = space.controls.get(name)
        if control is None:
            allowed = list(space.controls)
            raise ProblemError(
                ProblemType.INVALID_MOTION,
                f"{where} has no control {name!r}; space {space.name} has {', '.join(allowed) or 'none'}",
                got=name,
                allowed=allowed,
            )
        if not control.minimum <= value <= control.maximum:
            span = f"{control.minimum:g} to {control.maximum:g} {control.unit}".rstrip()
            raise ProblemError(
                ProblemType.INVALID_MOTION,
                f"{where}.{name} is {value:g}; allowed is {span}",
                got=value,
                allowed={"minimum": control.minimum, "maximum": control.maximum, "unit": control.unit},
            )
