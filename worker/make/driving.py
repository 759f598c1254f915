"""A portrait driven by another person's photo or video: what they do, and nothing of who they are.

A motion has no identity in it. Size and place have no meaning from one picture to another, so they always go on from
the portrait's own: what the driver changes of them since the shot began is added, lengths in sizes of the face. The
expression and the angles of the head are relative or absolute. With b the expression, a the angles, s the log scale, o
the offset, m the portrait's motion, d the driver's and n a neutral one:

    b = b_m + expression_scale (b_d - b_n)                 a = a_m + pose_scale (a_d - a_n)
    s = s_m + pose_scale (s_d - s_n)                       o = o_m + pose_scale exp(s_m - s_n) (o_d - o_n)

s_n and o_n are those of the first frame of the driver's shot. The rest of the neutral is:

- relative, a video: how the driver starts. a_n is of the first frame with the face, so that the portrait starts where
  it is. b_n is the median over a second from there, since a single frame may be amid a blink or a word: over the
  corpus' clips, started anywhere, it lies a third nearer to the clip's own median.
- relative, an image: there is no other picture of the driver to compare with, so n is the resting face, turned to the
  camera: b_n = 0 and a_n = 0.
- absolute: n is the same resting face, and b_m and a_m are 0, too.

Before the driver's face comes, b_d is b_n, and the rest of d as where it comes: the portrait rests,
and goes on from there.

The authors' space has a rule of its own for this, see model.extractor.deep3d.coefficients.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from jobs.motions import MOTION_FPS
from jobs.schemas import ImageOptions, VideoOptions
from model.arrays import Floats
from model.extractor.deep3d import coefficients as deep3d
from model.morphable.basis import ANGLES, EXPRESSION, LOG_SCALE, MOTION_SPACE, OFFSET, POSE
from worker.decoding import open_sound, open_video
from worker.make.faces import follow_face, from_the_start, read_portrait
from worker.make.motions import Face, Motions
from worker.media.audio import Sound
from worker.workbench import PreparedPortrait, Workbench

PLACE = slice(LOG_SCALE, None)
STARTS = round(MOTION_FPS)  # frames that say how a driver's face is at rest


@dataclass(frozen=True)
class Driver:
    """The motion (T, D) of a face in a video, or of one in an image as a single row."""

    motion: Floats
    shots: NDArray[np.intp]  # (T,), which shot each row belongs to
    seen: NDArray[np.bool_]  # (T,), whether the face was in the frame
    space: str = MOTION_SPACE

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Stretches of a driver as one."""
        motion, shots, seen = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("motion", "shots", "seen")
        )
        return cls(motion, shots, seen, parts[0].space)

    @property
    def come(self) -> int:
        """The first row whose frame shows the face; the rows before are as where the face was found."""
        return int(self.seen.argmax())


def driven_image(bench: Workbench, subject: PreparedPortrait, driving: Path, options: ImageOptions) -> Floats:
    """The motion (D,) of the portrait in the pose and with the expression of a face in the image `driving`."""
    face = read_portrait(bench, driving, options.driving_face, name="driving image").face
    driver = Driver(face.motion[None], np.zeros(1, np.intp), np.ones(1, np.bool_), bench.models.extractor.motion_space)
    target: Floats = apply(driver, subject.face, resting(driver), options)[0]
    return target


class DrivingVideo:
    """The portrait moving as a face in a video does, while that is read.

    `frames_without_face` are those of the motions given so far.
    """

    def __init__(self, bench: Workbench, face: Face, path: Path, options: VideoOptions) -> None:
        """Raises ProblemError: what `open_video` raises."""
        self._bench = bench
        self._face = face
        self._options = options
        self._source = open_video(path, bench.settings.video_limits, name="driving video", check=bench.stages.check)
        self.frames_without_face = 0

    def sound(self) -> Sound | None:
        """The video's, if it has any. Raises ProblemError: what `open_sound` raises."""
        if not self._source.has_sound:
            return None
        return open_sound(
            self._source.path,
            self._bench.settings.audio_limits,
            name="driving video's sound",
            check=self._bench.stages.check,
        )

    def motions(self) -> Motions:
        """The portrait's motion frame by frame, MOTION_FPS a second, from when it is known how the driver starts."""
        rows, read, since = self._rows(), list[Driver](), 0
        relative, space = self._options.driving_relative, self._bench.models.extractor.motion_space
        # the authors look through all of a driver for the frame that is most like the portrait
        whole = space == deep3d.MOTION_SPACE and not relative
        for row in rows:
            if row is not None:
                read.append(row)
                since += bool(since or row.seen[0])  # frames since the face came
                if not whole and (since == STARTS or row.shots[0] > 0):
                    break
            yield None
        driver = Driver.joined(read)
        neutral = starting(driver) if relative else resting(driver)
        yield from self._moved(driver, neutral)
        shot = driver.shots[-1]
        for row in rows:
            if row is None:
                yield None
                continue
            neutral = neutral[-1:]
            if row.shots[0] != shot:
                shot = row.shots[0]
                neutral[:, PLACE] = row.motion[:, PLACE]
            yield from self._moved(row, neutral)

    def _rows(self) -> Iterator[Driver | None]:
        """The driver a frame at a time, once the face has come."""
        space = self._bench.models.extractor.motion_space
        followed = follow_face(self._bench, self._source, self._options.driving_face)
        for face in from_the_start(face for _, face in followed):
            yield (
                None if face is None else Driver(face.motion[None], np.array([face.shot]), np.array([face.seen]), space)
            )

    def _moved(self, driver: Driver, neutral: Floats) -> Iterator[Floats]:
        motion = apply(driver, self._face, neutral, self._options)
        for row, seen in zip(motion, driver.seen, strict=True):
            self.frames_without_face += not seen
            yield row[None]


def starting(driver: Driver) -> Floats:
    """Neutral motion (T, D) of each frame: how the driver, and each shot's size and place, start."""
    neutral = resting(driver)
    start = driver.motion[driver.shots == 0][driver.come :][:STARTS]
    neutral[:, EXPRESSION] = np.median(start[:, EXPRESSION], axis=0)
    neutral[:, ANGLES] = driver.motion[driver.come, ANGLES]
    return neutral


def resting(driver: Driver) -> Floats:
    """Neutral motion (T, D) of each frame: the resting face turned to the camera, where and as large as shots start."""
    neutral: Floats = np.zeros_like(driver.motion)
    _, starts, of_frame = np.unique(driver.shots, return_index=True, return_inverse=True)
    neutral[:, PLACE] = driver.motion[starts[of_frame], PLACE]
    return neutral


def apply(driver: Driver, face: Face, neutral: Floats, options: ImageOptions | VideoOptions) -> Floats:
    """The portrait's motion (T, D): what the driver does from `neutral` (T, D) on, by the options."""
    relative, expression_scale, pose_scale = options.driving_relative, options.expression_scale, options.pose_scale
    motion = driver.motion.copy()
    motion[: driver.come, EXPRESSION] = neutral[: driver.come, EXPRESSION]
    if driver.space == deep3d.MOTION_SPACE:
        scales = {"expression_scale": expression_scale, "pose_scale": pose_scale}
        return deep3d.driven(motion, face.motion, neutral, relative=relative, **scales)
    change = motion - neutral
    change[:, EXPRESSION] *= expression_scale
    change[:, POSE] *= pose_scale
    change[:, OFFSET] *= np.exp(face.motion[LOG_SCALE] - neutral[:, LOG_SCALE, None])
    start = face.motion.copy()
    if not relative:
        start[EXPRESSION] = start[ANGLES] = 0.0
    return np.asarray(start + change, np.float32)
