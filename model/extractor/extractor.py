"""Photo or video -> face crop, landmarks and morphable-model coefficients."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice, tee
from operator import attrgetter
from pathlib import Path
from typing import Self

import numpy as np
import torch

from model.arrays import Floats, Landmarks, Pixels
from model.errors import NoFaceError
from model.extractor.detect import Face, FaceDetector, confidence_of
from model.extractor.follower import BATCH_FRAMES, LOST, FaceFollower, Followed, looked_for_faces
from model.extractor.reader import FaceReader, ReaderEngine, Sighting
from model.extractor.smoothing import smoothed
from model.extractor.window import Pyramid
from model.face.crop import Crop, crop_from_landmarks
from model.morphable import MOTION_SPACE, MorphableModel

SHOT_FRAMES = 16  # of a shot, which decide its crop and the identity


@dataclass(frozen=True, eq=False)
class Extraction:
    """A face as the renderer takes it."""

    crop: Crop
    image: Pixels  # (S, S, 3) uint8, the crop
    landmarks: Landmarks  # (478, 3) float32 in crop units
    identity: Floats  # (80,) float32
    motion: Floats  # (D,) float32, of the extractor's motion space
    confidence: float  # 0..1
    seen: bool = True  # of a video's frame: whether the face is in it, and not the one seen last
    shot: int = 0  # of a video's frame: counts the stretches between cuts

    def same_as(self, other: Self) -> bool:
        """Whether all that it holds is equal, bit for bit."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(np.array_equal(own, theirs) for own, theirs in pairs)


class Extractor:
    """Face finding, landmarks and coefficients, for photos and videos."""

    motion_space = MOTION_SPACE

    def __init__(self, reader: FaceReader, morphable: MorphableModel) -> None:
        self.reader = reader
        self.detector = FaceDetector(reader)
        self.morphable = morphable
        self.follower = FaceFollower(reader, self.detector, morphable)

    @classmethod
    def load(
        cls, directory: Path | None = None, *, engine: ReaderEngine = "auto", cache_directory: Path | None = None
    ) -> Self:
        """Load the released network and morphable model, or those in `directory`; see FaceReader.load for the rest.

        Raises WeightsError: a file is missing, damaged or does not fit.
        Raises EngineError: OpenVINO was asked for by name and is not available.
        """
        reader = FaceReader.load(directory, engine=engine, cache_directory=cache_directory)
        return cls(reader, MorphableModel.load(directory))

    def find_faces(self, rgb: Pixels, *, every: bool = True) -> list[Face]:
        """Faces of a photo (H, W, 3) uint8, largest first; an empty list where there is none.

        Unless `every`, the search ends with the first proposals that hold a face, which is several times as fast and
        misses no larger one that it could have found otherwise.
        """
        return self.detector.find(_checked(rgb), every=every)

    def extract(self, rgb: Pixels, face: Face | None = None) -> Extraction:
        """The largest face of a photo (H, W, 3) uint8, or the one given.

        Raises NoFaceError: no face was found, or there is none where `face` says.
        """
        picture = Pyramid(_checked(rgb))
        if face is None:
            sighting = self._largest(rgb)
        else:
            sighting = self.reader.refine([picture], [face.window])[0]
            if sighting.presence < LOST:
                raise NoFaceError(
                    f"no face at x {face.x:.0f}, y {face.y:.0f}, {face.width:.0f} x {face.height:.0f} pixels: "
                    f"confidence {sighting.presence:.2f}, allowed is {LOST} or more"
                )
        sighting = self.reader.steady(picture, sighting.window)
        crop = crop_from_landmarks(sighting.landmarks, (picture.width, picture.height))
        landmarks = crop.points_to_crop(sighting.landmarks)
        fit = self.morphable.fit(torch.from_numpy(landmarks)[None])
        return Extraction(
            crop, crop.cut(rgb), landmarks, fit.identity[0].numpy(), fit.motion[0].numpy(), confidence_of(sighting)
        )

    def extract_video(self, frames: Iterable[Pixels], face: int = 0) -> Iterator[Extraction | None]:
        """A face of a video followed to its end: one extraction for each frame, in order; None before it comes.

        `face` counts those of the first frame that shows one, the largest first. Frames (H, W, 3) uint8 are streamed;
        about three dozen are held at a time.

        A cut ends a shot, and in the next the face most like it is found anew. The first 16 frames of a shot decide its
        crop and the identity. Landmarks are smoothed over five frames, two of them ahead, but not across cuts or leaps.
        Where the face is not seen, its last landmarks and motion stay.

        Raises NoFaceError: no frame shows a face, or there are no frames.
        Raises FaceIndexError: the frame that shows a face has no such one.
        """
        followed = self.follower.follow(map(_checked, frames), face)
        for shot, part in groupby(followed, key=lambda one: one and one.shot):
            if shot is None:
                yield from (None for _ in part)
            else:
                yield from self._extract_shot(one for one in part if one)

    def _extract_shot(self, followed: Iterator[Followed]) -> Iterator[Extraction]:
        first = list(islice(followed, SHOT_FRAMES))
        shown = np.stack([one.landmarks for one in first if one.seen] or [first[0].landmarks])
        height, width = first[0].frame.shape[:2]
        crop = crop_from_landmarks(shown, (width, height))
        identity = self.morphable.fit(torch.from_numpy(crop.points_to_crop(shown))).identity.mean(0, keepdim=True)
        smooth = _smoothed(chain(first, followed), crop)
        while batch := list(islice(smooth, BATCH_FRAMES)):
            landmarks = np.stack([points for _, points in batch])
            motions = self.morphable.fit(torch.from_numpy(landmarks), identity).motion.numpy()
            for (one, points), motion in zip(batch, motions, strict=True):
                image, known = crop.cut(one.frame), identity[0].numpy()
                yield Extraction(crop, image, points, known, motion, one.confidence, seen=one.seen, shot=one.shot)

    def _largest(self, rgb: Pixels) -> Sighting:
        found = self.detector.sightings(rgb, every=False)
        if not found:
            raise NoFaceError(f"no face in the picture of {rgb.shape[1]} x {rgb.shape[0]} pixels; {looked_for_faces()}")
        return found[0]


def _smoothed(followed: Iterable[Followed], crop: Crop) -> Iterator[tuple[Followed, Landmarks]]:
    """Each with its landmarks in crop units, smoothed along the course that they are on."""
    for _, course in groupby(followed, key=attrgetter("course")):
        ahead, here = tee(course)
        yield from zip(here, smoothed(crop.points_to_crop(one.landmarks) for one in ahead), strict=True)


def _checked(rgb: Pixels) -> Pixels:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise ValueError(f"picture of shape {rgb.shape} and type {rgb.dtype}; allowed is (height, width, 3) uint8")
    return rgb
