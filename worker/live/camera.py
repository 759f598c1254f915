"""A portrait driven by a camera: each picture becomes the portrait's motion at once, by what was seen before alone.

It is driven as by a video, relative to how the person began (`worker.make.driving`). The neutral is the median of their
motion over the first half second in which they are seen; who they are is read from the same pictures. Motions are told
in the crop of the first picture however far the face goes: place and size are linear in it, and nothing is cut out.

Whatever changes the course (the neutral is known, is taken anew, the face goes or comes back) is eased into.
"""

import math
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jobs.live import MAX_CAMERA_BYTES, MAX_CAMERA_SIDE, DriveOptions
from jobs.problems import ProblemError
from jobs.schemas import VideoOptions
from model.arrays import Floats, Landmarks, Pixels
from model.extractor import Crop, Extractor, crop_from_landmarks
from model.extractor.live import LiveFollower
from model.extractor.smoothing import OneEuroFilter
from model.morphable import MOTION_SPACE
from worker.decoding import JpegReader
from worker.make.driving import Driver, apply
from worker.make.motions import Face, check_reads, within_reach_of
from worker.media.limits import ImageLimits
from worker.workbench import Workbench

PICTURES = ImageLimits(bytes=MAX_CAMERA_BYTES, pixels=MAX_CAMERA_SIDE**2, side=MAX_CAMERA_SIDE)
MOST_UNREADABLE = 3  # pictures in a row
STARTS_S = 0.5  # in which it is seen how a person is at rest
HELD_S = 1.0  # a motion, after the face has gone
EASE_S = 0.4  # from one course to another


class LiveCamera:
    """The portrait's motion as a person in front of a camera moves, until `close`."""

    def __init__(self, bench: Workbench, face: Face, options: DriveOptions) -> None:
        """`face` is the portrait's. Raises ProblemError: wrong-motion-space for a renderer that takes another."""
        check_reads(bench, "a camera's picture", MOTION_SPACE)
        self._bench = bench
        self._face = face
        self._options = VideoOptions(expression_scale=options.expression_scale, pose_scale=options.pose_scale)
        self._jpegs = JpegReader(PICTURES, name="camera's picture", check=bench.stages.check)
        self._unreadable = 0
        self._person: _Person | None = None
        self._seen_s = -math.inf
        self._eased = _Eased(face.motion)

    def close(self) -> None:
        """End the decoder."""
        self._jpegs.close()

    @property
    def given_up(self) -> bool:
        """Whether so many pictures in a row could not be read that it is no camera that sends them."""
        return self._unreadable >= MOST_UNREADABLE

    def recenter(self) -> None:
        """How the person looks in the next half second is the new neutral; who they are is read anew, too."""
        if self._person is not None:
            self._person.begin()

    def read(self, jpeg: bytes, at_s: float | None = None) -> tuple[Floats, bool]:
        """The portrait's motion (D,) at a picture, which was taken `at_s` seconds since any moment (None: just now).

        Also tells whether the face was seen. Where it is not, the last motion is held, and eased to rest after a
        second; until it is known how the person began, the portrait rests.

        Raises ProblemError: unsupported-media, too-large, too-many-pixels, unreadable-media or too-costly, and the next
        picture may do better unless it is `given_up`.
        """
        at_s = time.monotonic() if at_s is None else at_s
        rgb = self._decoded(jpeg)
        if self._person is None or self._person.frame_size != rgb.shape[1::-1]:  # another camera, or one that is turned
            self._person = _Person(self._bench.models.extractor, rgb.shape[1::-1])
        points, start = self._person.look(rgb, at_s), self._person.start
        if points is not None:
            self._seen_s = at_s
        if points is not None and start is not None:
            motion = self._eased.towards(self._driven(points, start), at_s, course=start)
        elif at_s > self._seen_s + HELD_S:
            motion = self.rest(at_s)
        else:
            motion = self._eased.towards(self._eased.motion, at_s, course="hold")
        return motion, points is not None

    def rest(self, at_s: float) -> Floats:
        """The portrait's motion (D,) on its way to rest, where it is EASE_S after this was asked first; as `read`."""
        return self._eased.towards(self._face.motion, at_s, course="rest")

    def _decoded(self, jpeg: bytes) -> Pixels:
        try:
            rgb = self._jpegs.read(jpeg)
        except ProblemError:
            self._unreadable += 1
            raise
        self._unreadable = 0
        return rgb

    def _driven(self, points: Landmarks, start: "_Start") -> Floats:
        motion = self._bench.models.extractor.morphable.fit(torch.from_numpy(points)[None], start.identity).motion
        driver = Driver(motion.numpy(), np.zeros(1, np.intp), np.ones(1, np.bool_))
        asked = apply(driver, self._face, start.neutral, self._options)
        reached, _ = within_reach_of(self._bench, self._face, asked)
        return np.asarray(reached[0])


class _Start(NamedTuple):
    """Who a person is, identity (1, 80), and the motion (1, D) that they began with."""

    identity: Tensor
    neutral: Floats


class _Person:
    """A person in a camera's pictures, which have one size (width, height)."""

    def __init__(self, extractor: Extractor, frame_size: tuple[int, ...]) -> None:
        self.frame_size = frame_size
        self.start: _Start | None = None
        self._morphable = extractor.morphable
        self._follower = LiveFollower(extractor.reader, extractor.detector)
        self._filter = OneEuroFilter()
        self._crop: Crop | None = None
        self.begin()

    def begin(self) -> None:
        """Take `start` from what is seen from now on."""
        self._beginning: list[tuple[float, Landmarks]] | None = []

    def look(self, rgb: Pixels, at_s: float) -> Landmarks | None:
        """Landmarks (478, 3) in crop units, smoothed, if the face is seen."""
        landmarks = self._follower.look(rgb, at_s)
        if landmarks is None:
            self._filter = OneEuroFilter()
            if self._beginning is not None:
                self.begin()
            return None
        if self._crop is None:
            width, height = self.frame_size
            self._crop = crop_from_landmarks(landmarks, (width, height))
        points = self._filter.smooth(self._crop.points_to_crop(landmarks), at_s)
        if self._beginning is not None:
            self._beginning.append((at_s, points))
            if at_s >= self._beginning[0][0] + STARTS_S:
                self.start = self._read(np.stack([points for _, points in self._beginning]))
                self._beginning = None
        return points

    def _read(self, landmarks: Landmarks) -> _Start:
        shown = torch.from_numpy(landmarks)
        identity = self._morphable.fit(shown).identity.mean(0, keepdim=True)
        motions = self._morphable.fit(shown, identity).motion.numpy()
        return _Start(identity, np.median(motions, axis=0, keepdims=True))


class _Eased:
    """A motion (D,) that goes over from one course to another without a jump."""

    def __init__(self, motion: Floats) -> None:
        self.motion = motion
        self._left = motion
        self._course: object = None
        self._since_s = 0.0

    def towards(self, target: Floats, at_s: float, *, course: object) -> Floats:
        """The motion at a time, at which `course` would have it at `target`."""
        if course is not self._course:
            self._left, self._course, self._since_s = self.motion, course, at_s
        share = (at_s - self._since_s) / EASE_S
        if share < 1:
            target = np.asarray(self._left + share * share * (3 - 2 * share) * (target - self._left), np.float32)
        self.motion = target
        return target
