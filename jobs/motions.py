"""Motion on the wire: named controls, coefficients, frames or keyframes of a motion space."""

import itertools
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from jobs.documents import Document

MAX_DIMENSION = 512
MAX_KEYFRAMES = 1000
MAX_SECONDS = 300.0
MOTION_FPS = 25.0  # of the models: what videos are read at, and speech is heard at
MAX_FRAMES = round(MAX_SECONDS * MOTION_FPS)
MAX_CONTROLS = 64

Number = Annotated[float, Field(allow_inf_nan=False)]
ControlName = Annotated[str, Field(min_length=1, max_length=64)]
ControlValues = Annotated[dict[ControlName, Number], Field(max_length=MAX_CONTROLS, fail_fast=True)]
# Coefficients are of unit variance, radians or pixels of a crop of 256: beyond this no face is meant.
Coefficient = Annotated[float, Field(ge=-512, le=512, allow_inf_nan=False)]
Coefficients = Annotated[list[Coefficient], Field(min_length=1, max_length=MAX_DIMENSION, fail_fast=True)]
Space = Annotated[str, Field(min_length=1, max_length=64)]
Fps = Annotated[float, Field(ge=1, le=60, allow_inf_nan=False)]
Confidence = Annotated[float, Field(ge=0, le=1, description="How sure the extractor is; under 0.3 it saw no face")]

FORMS = ("controls", "coefficients", "frames", "keyframes")
NAMED_FORMS = ("controls", "keyframes")  # which can be put on top of another motion


class ControlsMotion(Document):
    """One pose and expression by name; `relative` adds it to the portrait's own, otherwise it replaces them.

    Beside speech or a driving video it is put on top of every frame.
    """

    space: Space = "open478"
    controls: ControlValues
    relative: bool = True


class CropSquare(Document):
    """The square of the source, in its pixels, that size and place of an extracted face are relative to."""

    x: Number
    y: Number
    side: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Shot(Document):
    """Frames of a video from one cut to the next: the index of the first, and their crop."""

    start: Annotated[int, Field(ge=0, lt=MAX_FRAMES)]
    crop: CropSquare


class CoefficientsMotion(Document):
    """One motion vector (D,) of the named space, used as it is.

    `confidence` and `crop` are what extraction tells beside it; rendering does without.
    """

    space: Space
    coefficients: Coefficients
    confidence: Confidence | None = None
    crop: CropSquare | None = None


class FramesMotion(Document):
    """A sequence of motion vectors (T, D) at `fps`, of at most MAX_SECONDS.

    `confidence`, one for each frame, and `shots` are what extraction tells beside it; rendering does without.
    """

    space: Space
    fps: Fps = MOTION_FPS
    frames: Annotated[list[Coefficients], Field(min_length=1, max_length=MAX_FRAMES, fail_fast=True)]
    confidence: Annotated[list[Confidence], Field(max_length=MAX_FRAMES, fail_fast=True)] | None = None
    shots: Annotated[list[Shot], Field(max_length=MAX_FRAMES, fail_fast=True)] | None = None

    @model_validator(mode="after")
    def _not_too_long(self) -> Self:
        seconds = len(self.frames) / self.fps
        if seconds > MAX_SECONDS:
            raise ValueError(
                f"{len(self.frames)} frames at {self.fps:g} fps last {seconds:g} seconds; allowed are {MAX_SECONDS:g}"
            )
        return self


class Keyframe(Document):
    """Named controls at a time in seconds from the video's start."""

    t: Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
    controls: ControlValues


class KeyframesMotion(Document):
    """Named controls at given times, which rise strictly; what lies between is interpolated.

    Alone the video ends with the last of them, and has `fps` frames a second. On top of speech or of a driving video,
    whose rate and length count, the first and the last are held before and after.
    """

    space: Space = "open478"
    fps: Fps = MOTION_FPS
    keyframes: Annotated[list[Keyframe], Field(min_length=1, max_length=MAX_KEYFRAMES, fail_fast=True)]
    relative: bool = True

    @model_validator(mode="after")
    def _times_rise(self) -> Self:
        times = [keyframe.t for keyframe in self.keyframes]
        for before, after in itertools.pairwise(times):
            if after <= before:
                raise ValueError(f"keyframe times must rise strictly, got t = {after:g} after t = {before:g}")
        return self


def _form(value: Any) -> str | None:
    """Which of the four forms a motion has: the one form key it holds, or None when it is not exactly one."""
    keys = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    present = [form for form in FORMS if form in keys]
    return present[0] if len(present) == 1 else None


Motion = Annotated[
    Annotated[ControlsMotion, Tag("controls")]
    | Annotated[CoefficientsMotion, Tag("coefficients")]
    | Annotated[FramesMotion, Tag("frames")]
    | Annotated[KeyframesMotion, Tag("keyframes")],
    Discriminator(
        _form,
        custom_error_type="motion_form",
        custom_error_message="a motion holds exactly one of controls, coefficients, frames, keyframes",
    ),
]
StillMotion = ControlsMotion | CoefficientsMotion
MovingMotion = FramesMotion | KeyframesMotion
NamedMotion = ControlsMotion | KeyframesMotion


def form_of(motion: Motion) -> str:
    """Which of FORMS a motion has."""
    return next(form for form in FORMS if hasattr(motion, form))
