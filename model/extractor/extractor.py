"""Photo or video -> face crop, landmarks and morphable-model coefficients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch

from model.errors import FaceIndexError, NoFaceError
from model.extractor.crop import Crop, crop_from_landmarks
from model.extractor.detect import SMALLEST_FACE, Face, FaceDetector, confidence_of
from model.extractor.reader import FaceReader, ReaderEngine, Sighting
from model.extractor.smoothing import smoothed
from model.extractor.window import Pyramid, Window
from model.morphable import MorphableModel

FIRST_FRAMES = 16  # of a video, which decide its crop and the identity
BATCH_FRAMES = 8
LOST = 0.3  # presence below which a frame's landmarks are not believed


@dataclass(frozen=True, eq=False)
class Extraction:
    """A face as the renderer takes it."""

    crop: Crop
    image: np.ndarray  # (256, 256, 3) uint8, the crop
    landmarks: np.ndarray  # (478, 3) float32 in pixels of the crop
    identity: np.ndarray  # (80,) float32
    motion: np.ndarray  # (70,) float32
    confidence: float  # 0..1


@dataclass(frozen=True, eq=False)
class _Tracked:
    frame: np.ndarray
    landmarks: np.ndarray  # source pixels
    confidence: float


class Extractor:
    """Face finding, landmarks and coefficients, for photos and videos."""

    def __init__(self, reader: FaceReader, morphable: MorphableModel) -> None:
        self.reader = reader
        self.detector = FaceDetector(reader)
        self.morphable = morphable

    @classmethod
    def load(
        cls, directory: Path | None = None, *, engine: ReaderEngine = "auto", cache_directory: Path | None = None
    ) -> Extractor:
        """Load the released network and morphable model, or those in `directory`; see FaceReader.load for the rest.

        Raises:
            WeightsError: a file is missing, damaged or does not fit.
            EngineError: OpenVINO was asked for by name and is not available.
        """
        reader = FaceReader.load(directory, engine=engine, cache_directory=cache_directory)
        return cls(reader, MorphableModel.load(directory))

    def find_faces(self, rgb: np.ndarray, *, every: bool = True) -> list[Face]:
        """Faces of a photo (H, W, 3) uint8, largest first; an empty list where there is none.

        Unless `every`, the search ends with the first proposals that hold a face, which is several times as fast and
        misses no larger one that it could have found otherwise.
        """
        return self.detector.find(_checked(rgb), every=every)

    def extract(self, rgb: np.ndarray, face: Face | None = None) -> Extraction:
        """The largest face of a photo (H, W, 3) uint8, or the one given.

        Raises:
            NoFaceError: no face was found, or there is none where `face` says.
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

    def extract_video(self, frames: Iterable[np.ndarray], face: int = 0) -> Iterator[Extraction]:
        """A face of a video's first frames, followed to its end: one extraction for each frame, in order.

        `face` counts those of the first frame that shows one, the largest first.

        Frames (H, W, 3) uint8 are streamed; about two dozen are held at a time. The first 16 decide the crop, which is
        the same for the whole video, and the identity. Landmarks are smoothed over five frames, two of them ahead.
        Where the face is lost, the last landmarks stay and the confidence says so.

        Raises:
            NoFaceError: none of the first frames shows a face, or there are no frames.
            FaceIndexError: the frame that shows a face has no such one.
        """
        stream = self._tracked(iter(frames), face)
        first = list(islice(stream, FIRST_FRAMES))
        if not first:
            raise NoFaceError("the video has no frames; allowed is one or more")
        height, width = first[0].frame.shape[:2]
        crop = crop_from_landmarks(np.stack([tracked.landmarks for tracked in first]), (width, height))
        shapes = crop.points_to_crop(np.stack([tracked.landmarks for tracked in first]))
        identity = self.morphable.fit(torch.from_numpy(shapes)).identity.mean(0, keepdim=True)
        followed: list[_Tracked] = []

        def landmarks() -> Iterator[np.ndarray]:
            for tracked in chain(first, stream):
                followed.append(tracked)
                yield crop.points_to_crop(tracked.landmarks)

        for points in smoothed(landmarks()):
            tracked = followed.pop(0)
            motion = self.morphable.fit(torch.from_numpy(points)[None], identity).motion[0].numpy()
            yield Extraction(crop, crop.cut(tracked.frame), points, identity[0].numpy(), motion, tracked.confidence)

    def _tracked(self, frames: Iterator[np.ndarray], face: int) -> Iterator[_Tracked]:
        """Landmarks of each frame, a batch of frames at a time, starting where the batch before ended."""
        last: Sighting | None = None
        pending: list[np.ndarray] = []  # first frames, before any face was seen
        while batch := [_checked(frame) for frame in islice(frames, BATCH_FRAMES)]:
            pictures = [Pyramid(frame) for frame in batch]
            if last is None:
                searches = (
                    self.detector.sightings(frame, every=face > 0, thorough=n == 0) for n, frame in enumerate(batch)
                )
                found = next((seen for seen in searches if seen), None)
                if found is None:
                    pending += batch
                    if len(pending) >= FIRST_FRAMES:
                        break
                    continue
                if face >= len(found):
                    raise FaceIndexError(
                        f"face {face} of a video was asked for, whose first frame with a face has {len(found)}; "
                        f"allowed are 0 to {len(found) - 1}"
                    )
                last = found[face]
                yield from (_Tracked(frame, last.landmarks, 0.0) for frame in pending)
                pending = []
            for frame, sighting in zip(batch, self._follow(pictures, batch, last), strict=True):
                if sighting.presence >= LOST:
                    last = sighting
                yield _Tracked(frame, last.landmarks, confidence_of(sighting))
        if last is None and pending:
            raise NoFaceError(f"no face in the first {len(pending)} frames of the video; {_looked_for()}")

    def _follow(self, pictures: list[Pyramid], frames: list[np.ndarray], last: Sighting) -> list[Sighting]:
        sightings = self.reader.refine(pictures, [last.window] * len(pictures), looks=2)
        for index, sighting in enumerate(sightings):
            if sighting.presence < LOST:  # it moved far, or the scene was cut: search the frame, once for the batch
                found = self.detector.sightings(frames[index], every=False, thorough=False)
                if found:
                    again: list[Window] = [_nearest(found, last).window] * (len(pictures) - index)
                    sightings[index:] = self.reader.refine(pictures[index:], again, looks=2)
                break
        return sightings

    def _largest(self, rgb: np.ndarray) -> Sighting:
        found = self.detector.sightings(rgb, every=False)
        if not found:
            raise NoFaceError(f"no face in the picture of {rgb.shape[1]} x {rgb.shape[0]} pixels; {_looked_for()}")
        return found[0]


def _nearest(found: list[Sighting], last: Sighting) -> Sighting:
    """The one most like `last` in place and size, so that a face lost for a moment is not taken for another."""

    def unlike(sighting: Sighting) -> float:
        window, before = sighting.window, last.window
        moved = math.hypot(window.x - before.x, window.y - before.y) / before.side
        return moved + abs(math.log(window.side / before.side))

    return min(found, key=unlike)


def _looked_for() -> str:
    return f"looked for whole faces at least {SMALLEST_FACE} pixels high, turned or tilted by up to about 45 degrees"


def _checked(rgb: np.ndarray) -> np.ndarray:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise ValueError(f"picture of shape {rgb.shape} and type {rgb.dtype}; allowed is (height, width, 3) uint8")
    return rgb
