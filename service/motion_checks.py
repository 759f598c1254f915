"""Checks a submitted motion against the installed models, before it becomes a job."""

from pydantic import TypeAdapter, ValidationError

from service.cards import MotionSpace
from service.jobs.motions import CoefficientsMotion, ControlsMotion, FramesMotion, KeyframesMotion, Motion
from service.jobs.problems import ProblemType
from service.jobs.schemas import Motions
from service.problems import ProblemError, validation_error

AnyMotion = ControlsMotion | CoefficientsMotion | FramesMotion | KeyframesMotion
ADAPTER: TypeAdapter[AnyMotion] = TypeAdapter(Motion)
LIST_ADAPTER: TypeAdapter[list[AnyMotion]] = TypeAdapter(Motions)


def parse_motion(text: str, spaces: dict[str, MotionSpace], *, moving: bool) -> AnyMotion:
    """Read a motion and check form, space, length and ranges. Raises ProblemError naming value and what is allowed."""
    try:
        motion = ADAPTER.validate_json(text)
    except ValidationError as error:
        raise validation_error(ProblemType.INVALID_MOTION, error, where="motion", tag=0) from error
    return _checked(motion, spaces, "motion", moving=moving)


def parse_motions(text: str, spaces: dict[str, MotionSpace]) -> list[AnyMotion]:
    """Read a list of still motions and check each. Raises ProblemError, which says which of them."""
    try:
        motions = LIST_ADAPTER.validate_json(text)
    except ValidationError as error:
        raise validation_error(ProblemType.INVALID_MOTION, error, where="motions", tag=1) from error
    return [_checked(motion, spaces, f"motions.{index}", moving=False) for index, motion in enumerate(motions)]


def _checked(motion: AnyMotion, spaces: dict[str, MotionSpace], where: str, *, moving: bool) -> AnyMotion:
    _check_form(motion, moving=moving)
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
    return motion


def _check_form(motion: AnyMotion, *, moving: bool) -> None:
    if moving == isinstance(motion, FramesMotion | KeyframesMotion):
        return
    allowed = ["frames", "keyframes"] if moving else ["controls", "coefficients"]
    got = next(form for form in ("controls", "coefficients", "frames", "keyframes") if hasattr(motion, form))
    what = "a video" if moving else "an image"
    raise ProblemError(
        ProblemType.INVALID_MOTION,
        f"{what} needs a motion of {' or '.join(allowed)}, got {got}",
        got=got,
        allowed=allowed,
    )


def _check_length(vector: list[float], space: MotionSpace, where: str) -> None:
    if len(vector) != space.dimension:
        raise ProblemError(
            ProblemType.INVALID_MOTION,
            f"{where} has {len(vector)} numbers; space {space.name} has {space.dimension}",
            got=len(vector),
            allowed=space.dimension,
        )


def _check_controls(values: dict[str, float], space: MotionSpace, where: str) -> None:
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
