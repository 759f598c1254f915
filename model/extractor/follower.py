"""One face followed through the frames of a video: over cuts, and where it is not seen for a while."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from model.arrays import Array, Landmarks, Pixels
from model.errors import FaceIndexError, NoFaceError
from model.extractor.cuts import uncut
from model.extractor.detect import SMALLEST_FACE, FaceDetector, confidence_of
from model.extractor.reader import FaceReader, Sighting
from model.extractor.window import Pyramid
from model.face.crop import crop_from_landmarks
from model.morphable import MorphableModel

BATCH_FRAMES = 8
SEARCH_EVERY = 4  # frames, where it is not known where the face is
SEARCH_THOROUGHLY_EVERY = 24  # of these frames; it takes ten times as long, and also finds what is small
STILL = 2  # largest difference of two thumbnails, of 255, between pictures that show the same
LOST = 0.3  # presence below which a frame's landmarks are not believed
# Landmarks leap where they move by this share of the face's height, on average over them, and by this many times what
# they moved before. Of neighbouring frames of the corpus 1.5 in a thousand do; of jump cuts that move them so far, nine
# in ten.
LEAP, SUDDENLY = 0.05, 3.0


@dataclass(frozen=True, eq=False)
class Followed:
    """A frame and where the face is in it."""

    frame: Pixels
    landmarks: Landmarks  # (478, 3) in source pixels; where the face is not seen, as it was seen last
    confidence: float  # 0..1
    seen: bool
    shot: int = 0  # counts the stretches between cuts, as far as they show the face
    course: int = 0  # counts the stretches over which the landmarks move steadily


class FaceFollower:
    """Looks at each frame where the face was in those before; searches where it is not there."""

    def __init__(self, reader: FaceReader, detector: FaceDetector, morphable: MorphableModel) -> None:
        self.reader = reader
        self.detector = detector
        self.morphable = morphable

    def follow(self, frames: Iterable[Pixels], face: int = 0) -> Iterator[Followed | None]:
        """The face in each of `frames` (H, W, 3) uint8, which are streamed; None before any has shown one.

        `face` counts those of the first frame that shows one, the largest first. After a cut the face most like it is
        followed. A scene that shows none belongs to the shot before it.

        Raises NoFaceError: no frame shows a face, or there are no frames.
        Raises FaceIndexError: the frame that shows a face has no such one.
        """
        return _in_courses(self._followed(frames, face))

    def _followed(self, frames: Iterable[Pixels], face: int) -> Iterator[Followed | None]:
        last: Sighting | None = None
        shot, count = 0, 0
        search: _Search | None = _Search(self.detector)  # while it is not known where the face is
        for cut, pictures in uncut(frames, BATCH_FRAMES):
            count += len(pictures)
            search = _Search(self.detector) if cut else search
            found = search.among(pictures, every=face > 0) if search else []
            if found:
                shot, search = shot + (last is not None), None
                last = _chosen(found, face) if last is None else self._most_like(last, found, pictures[0])
            if last is None:
                yield from [None] * len(pictures)
                continue
            if search:
                yield from (Followed(picture.rgb, last.landmarks, 0.0, seen=False, shot=shot) for picture in pictures)
                continue
            for picture, sighting in zip(pictures, self._looked(pictures, last), strict=True):
                seen = sighting.presence >= LOST
                last = sighting if seen else last
                yield Followed(picture.rgb, last.landmarks, confidence_of(sighting), seen=seen, shot=shot)
        if last is None:
            looked_for = f"no face in the {count} frames of the video; {looked_for_faces()}"
            raise NoFaceError(looked_for if count else "the video has no frames; allowed is one or more")

    def _looked(self, pictures: list[Pyramid], last: Sighting) -> list[Sighting]:
        """A look at each picture; where the face is not where it was `last`, first nearby, then all over the picture.

        It is searched for once at most: in a scene without it that would take most of the time.
        """
        sightings = self._refined(pictures, last)
        lost = _first_lost(sightings)
        if lost:  # and seen before that: it moves fast
            sightings[lost:] = self._refined(pictures[lost:], sightings[lost - 1])
            lost = _first_lost(sightings)
        if lost is not None:
            found = self.detector.sightings(pictures[lost].rgb, every=False, thorough=False)
            if found:
                sightings[lost:] = self._refined(pictures[lost:], nearest(found, sightings[lost - 1] if lost else last))
        return sightings

    def _refined(self, pictures: list[Pyramid], start: Sighting) -> list[Sighting]:
        return self.reader.refine(pictures, [start.window] * len(pictures), looks=2)

    def _most_like(self, last: Sighting, found: list[Sighting], picture: Pyramid) -> Sighting:
        """The face whose identity is nearest to that of `last`; in another scene its place says nothing."""
        if len(found) == 1:
            return found[0]
        faces = [sighting.landmarks for sighting in (last, *found)]
        crops = [crop_from_landmarks(points, (picture.width, picture.height)) for points in faces]
        points = np.stack([crop.points_to_crop(points) for crop, points in zip(crops, faces, strict=True)])
        identity = self.morphable.fit(torch.from_numpy(points)).identity
        return found[int((identity[1:] - identity[0]).norm(dim=1).argmin())]


class _Search:
    """For a face in the frames of a scene that has shown none so far."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._frames = 0
        self._bare: Array | None = None  # thumbnail of the picture last searched thoroughly

    def among(self, pictures: list[Pyramid], *, every: bool) -> list[Sighting]:
        """Faces in the first of the pictures that shows any; not all are searched."""
        for picture in pictures[::SEARCH_EVERY]:
            found = self._in(picture)
            if found:
                return (every and self._detector.sightings(picture.rgb)) or found
            self._frames += SEARCH_EVERY
        return []

    def _in(self, picture: Pyramid) -> list[Sighting]:
        thumbnail = picture.thumbnail().astype(np.int16)
        if self._bare is not None and np.abs(thumbnail - self._bare).max() <= STILL:
            return []
        thorough = self._frames % SEARCH_THOROUGHLY_EVERY == 0
        self._bare = thumbnail if thorough else self._bare
        return self._detector.sightings(picture.rgb, every=False, thorough=thorough)


def looked_for_faces() -> str:
    """What a picture without face is said to lack."""
    size = f"looked for whole faces at least {SMALLEST_FACE} pixels high"
    return f"{size}, turned by up to about 60 degrees and tilted by up to about 45"


def _chosen(found: list[Sighting], face: int) -> Sighting:
    if face >= len(found):
        raise FaceIndexError(
            f"face {face} of a video was asked for, whose first frame with a face has {len(found)}; "
            f"allowed are 0 to {len(found) - 1}"
        )
    return found[face]


def nearest(found: list[Sighting], last: Sighting) -> Sighting:
    """The one most like `last` in place and size, so that a face lost for a moment is not taken for another."""

    def unlike(sighting: Sighting) -> float:
        window, before = sighting.window, last.window
        moved = math.hypot(window.x - before.x, window.y - before.y) / before.side
        return moved + abs(math.log(window.side / before.side))

    return min(found, key=unlike)


def _first_lost(sightings: list[Sighting]) -> int | None:
    return next((index for index, sighting in enumerate(sightings) if sighting.presence < LOST), None)


def _in_courses(followed: Iterable[Followed | None]) -> Iterator[Followed | None]:
    """Number the courses: one ends with its shot, where the face is lost or found, and where the landmarks leap."""
    before: Followed | None = None
    course, step = 0, math.inf
    for now in followed:
        if now is None:
            yield None
            continue
        if before is not None:
            step_before, step = step, _step(before.landmarks, now.landmarks)
            leaps = step > LEAP and step > SUDDENLY * step_before
            course += leaps or (now.shot, now.seen) != (before.shot, before.seen)
        before = now
        yield replace(now, course=course)


def _step(before: Array, now: Array) -> float:
    """How far landmarks (478, 3) moved, on average over them, in heights of the face."""
    moved = np.linalg.norm(now[:, :2] - before[:, :2], axis=1).mean()
    return float(moved / np.ptp(before[:, 1]))
