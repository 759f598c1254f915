"""From what the user asked for to the motion of every frame: arrays (T, D) in the renderer's motion space."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jobs.motions import CoefficientsMotion, ControlsMotion, FramesMotion, KeyframesMotion
from model.arrays import Doubles, Floats
from worker.media.audio import Sound


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


@dataclass(frozen=True)
class Drive:
    """What a portrait does in a video: its motion (T, D) at `fps`, and the sound that goes with it.

    `frames_without_face` are those of a driving video.
    """

    motion: Floats
    fps: float
    sound: Sound | None = None
    frames_without_face: int | None = None


def still(motion: ControlsMotion | CoefficientsMotion, face: Face, controls: AppliesControls) -> Floats:
    """One motion (D,): named controls on the portrait's own, or coefficients as they are."""
    if isinstance(motion, CoefficientsMotion):
        return np.asarray(motion.coefficients, np.float32)
    return controls.apply(face.identity, face.motion, motion.controls, relative=motion.relative)


def moving(motion: FramesMotion | KeyframesMotion, face: Face, controls: AppliesControls, fps: float) -> Floats:
    """A motion (T, D) at `fps`: frames resampled in time, or keyframes interpolated."""
    if isinstance(motion, FramesMotion):
        return resample(np.asarray(motion.frames, np.float32), motion.fps, fps)
    poses = [
        controls.apply(face.identity, face.motion, keyframe.controls, relative=motion.relative)
        for keyframe in motion.keyframes
    ]
    times = np.array([keyframe.t for keyframe in motion.keyframes])
    count = int(np.floor(times[-1] * fps + 1e-6)) + 1
    return interpolate(times, np.stack(poses), np.arange(count) / fps)


def resample(frames: Floats, from_fps: float, to_fps: float) -> Floats:
    """A sequence (T, D) at another rate, linear between its frames; its length in seconds stays, to half a frame."""
    if from_fps == to_fps:
        return frames
    count = max(1, round(len(frames) / from_fps * to_fps))
    position = np.minimum(np.arange(count) * from_fps / to_fps, len(frames) - 1)
    before = np.floor(position).astype(int)
    after = np.minimum(before + 1, len(frames) - 1)
    share = (position - before)[:, None].astype(np.float32)
    return np.asarray(frames[before] * (1 - share) + frames[after] * share, np.float32)


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
