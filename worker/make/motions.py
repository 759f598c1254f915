"""From what the user asked for to the motion of every frame: arrays (T, D) in the renderer's motion space.

What takes a while comes as `Motions`, and is used while the rest of it is still made.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np

from jobs.motions import CoefficientsMotion, ControlsMotion, FramesMotion, Keyframe, KeyframesMotion, NamedMotion
from jobs.problems import ProblemError, ProblemType
from model.arrays import Doubles, Floats
from model.renderer.prior.reach import within_reach
from worker.workbench import Workbench

Motions = Iterator[Floats | None]
"""A sequence a few motions (n, D) at a time; None: there is nothing new, but a moment to do something else."""


class AppliesControls(Protocol):
    """Named controls put on a motion (model.morphable.controls.Controls)."""

    def apply(self, identity: Floats, motion: Floats, values: Mapping[str, float], *, relative: bool) -> Floats:
        """Motion (D,) with the values on top of (relative) or instead of what `motion` (D,) has."""
        ...


class Face(Protocol):
    """What is known of the person in the portrait."""

    @property
    def identity(self) -> Floats:
        """Shape of the face (80,)."""
        ...

    @property
    def motion(self) -> Floats:
        """The portrait's own motion (D,)."""
        ...


def still(motion: ControlsMotion | CoefficientsMotion, face: Face, controls: AppliesControls) -> Floats:
    """One motion (D,): named controls on the portrait's own, or coefficients as they are."""
    if isinstance(motion, CoefficientsMotion):
        return np.asarray(motion.coefficients, np.float32)
    return controls.apply(face.identity, face.motion, motion.controls, relative=motion.relative)


def moving(motion: FramesMotion | KeyframesMotion, face: Face, controls: AppliesControls, fps: float) -> Floats:
    """A motion (T, D) at `fps`: frames resampled in time, or keyframes interpolated."""
    if isinstance(motion, FramesMotion):
        return resample(np.asarray(motion.frames, np.float32), motion.fps, fps)
    times, poses = posed(motion, face, controls)
    count = int(np.floor(times[-1] * fps + 1e-6)) + 1
    return interpolate(times, poses, np.arange(count) / fps)


def posed(motion: NamedMotion, face: Face, controls: AppliesControls) -> tuple[Doubles, Floats]:
    """The portrait's motions (K, D) at times (K,) in seconds; controls are one keyframe."""
    keyframes = [Keyframe(t=0, controls=motion.controls)] if isinstance(motion, ControlsMotion) else motion.keyframes
    poses = [
        controls.apply(face.identity, face.motion, keyframe.controls, relative=motion.relative)
        for keyframe in keyframes
    ]
    return np.array([keyframe.t for keyframe in keyframes]), np.stack(poses)


def resample(frames: Floats, from_fps: float, to_fps: float) -> Floats:
    """A sequence (T, D) at another rate, linear between its frames; its length in seconds stays, to half a frame."""
    return np.concatenate([part for part in resampled(iter([frames]), from_fps, to_fps) if part is not None])


def resampled(motions: Motions, from_fps: float, to_fps: float) -> Motions:
    """`resample` of what comes bit by bit; only what is still needed is held."""
    if from_fps == to_fps:
        yield from motions
        return
    held, first, done = np.zeros((0, 0), np.float32), 0, 0  # `held` begins with frame `first`

    def made(stop: int) -> Floats:
        last = first + len(held) - 1
        position = np.minimum(np.arange(done, stop) * from_fps / to_fps, last)
        before = np.floor(position).astype(int)
        after = np.minimum(before + 1, last)
        share = (position - before)[:, None].astype(np.float32)
        return np.asarray(held[before - first] * (1 - share) + held[after - first] * share, np.float32)

    for frames in motions:
        if frames is None:
            yield None
            continue
        held = np.concatenate([held, frames]) if len(held) else frames
        known = first + len(held)
        # as many as there will be whatever comes, and whose frames on either side are there
        coming = np.arange(done, resampled_length(known, from_fps, to_fps)) * from_fps / to_fps
        ready = int(np.count_nonzero(coming < known - 1))
        if not ready:
            yield None
            continue
        yield made(done + ready)
        done += ready
        needed = min(int(done * from_fps / to_fps), known - 1)
        held, first = held[needed - first :], needed
    total = resampled_length(first + len(held), from_fps, to_fps)
    if total > done:
        yield made(total)


def resampled_length(frames: int, from_fps: float, to_fps: float) -> int:
    """How many frames `resample` makes of so many."""
    return frames if from_fps == to_fps else max(1, round(frames / from_fps * to_fps))


def interpolate(times: Doubles, values: Floats, at: Doubles) -> Floats:
    """Values (K, D) at rising `times` (K,), at other times (T,): smooth, and never beyond the values on either side.

    Monotone piecewise cubic (Fritsch and Carlson, "Monotone piecewise cubic interpolation", 1980) with the harmonic
    mean of the neighbouring slopes at inner keys and rest at both ends; constant outside.
    """
    if len(times) == 1:
        return np.repeat(values, len(at), axis=0)
    step = np.diff(times)[:, None]
    slope = np.diff(values, axis=0) / step
    tangent = np.zeros_like(values, dtype=np.float64)
    before, after = slope[:-1], slope[1:]
    agree = before * after > 0
    tangent[1:-1][agree] = 2 * before[agree] * after[agree] / (before + after)[agree]
    inside = np.clip(at, times[0], times[-1])
    k = np.clip(np.searchsorted(times, inside, side="right") - 1, 0, len(times) - 2)
    h = step[k]
    s = (inside - times[k])[:, None] / h
    hermite = (
        (1 + 2 * s) * (1 - s) ** 2 * values[k]
        + s * (1 - s) ** 2 * h * tangent[k]
        + s**2 * (3 - 2 * s) * values[k + 1]
        + s**2 * (s - 1) * h * tangent[k + 1]
    )
    return np.asarray(hermite, np.float32)


def check_reads(bench: Workbench, what: str, got: str) -> None:
    """Refuse what becomes a motion of the space `got` where the renderer takes another space's.

    Raises ProblemError: wrong-motion-space.
    """
    spaces = bench.models.motion_spaces
    if got not in spaces:
        raise ProblemError(
            ProblemType.WRONG_MOTION_SPACE,
            f"{what} becomes a motion in the space {got!r}; this renderer takes {', '.join(map(repr, spaces))}, as "
            "coefficients or frames of them",
            got=got,
            allowed=list(spaces),
        )


def within_reach_of(bench: Workbench, face: Face, asked: Floats) -> tuple[Floats, int]:
    """Motions (T, D) that can be drawn of a portrait: turned no further than it shows enough for; how many of them are.

    A renderer without a prior is left to itself: its motions need not even have angles.
    """
    if bench.models.animator.prior is None:
        return asked, 0
    reached, reduced = within_reach(face.motion, asked)
    return reached, int(np.count_nonzero(reduced))
