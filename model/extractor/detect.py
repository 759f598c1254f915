"""Finding faces in a whole photo.

Proposals come from coarse and fine grids of windows and from OpenCV's Haar cascades (Viola and Jones 2001) at several
sizes of the photo; the network looks at all of them, follows those that show something of a face, and its own judgement
of the last look decides. What finds large faces cheaply comes first, and where one face is enough the search ends with
the first find.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from model.arrays import Pixels
from model.extractor.reader import FaceReader, Sighting
from model.extractor.window import WINDOW_PER_FACE_HEIGHT, Pyramid, Window

CASCADES = ("haarcascade_frontalface_alt2.xml", "haarcascade_profileface.xml")
# Longest sides of the pictures that the cascades see: their time grows with the square.
QUICK_EXTENT, MIDDLE_EXTENT, FULL_EXTENT = 320, 640, 1000
SMALLEST_FACE = 40  # pixels; smaller faces have too few of them to read a motion from
PROMISING = 0.15  # presence at a first look that is worth a second
CERTAIN = 0.96  # certainty at the last look that makes a face
# Crop units by which landmarks may be expected to be off. Heads turned by 60 degrees come to 7; what is no
# face and looks like one comes to 7 at the least, but then with a presence of 0.95.
MOST_EXPECTED_PX = 7.0
HALF_BELIEVED_PX = 6.0  # expected error at which landmarks are worth half
MOST_TILTED = math.radians(65)  # what the network was taught to read, and some
SAME = 0.5  # share of the smaller of two windows that lies in the other when they are one face
GRID_STEP = 0.4  # of a window's side
GRID_RATIO = 1.7  # between window sizes
GRID_DEPTH = 5  # how often the finest grid's windows fit the shorter side; smaller faces are left to the cascades


@dataclass(frozen=True)
class Face:
    """A face found: the box of its landmarks in source pixels, how sure, and its turn in the picture."""

    x: float
    y: float
    width: float
    height: float
    confidence: float  # 0..1
    angle: float = 0.0  # radians, clockwise as seen

    @property
    def window(self) -> Window:
        """Where to start looking for it again."""
        # the box of a turned face is larger than the face
        upright = self.height / (abs(math.cos(self.angle)) + 0.8 * abs(math.sin(self.angle)))
        middle = (self.x + self.width / 2, self.y + self.height / 2)
        return Window(*middle, WINDOW_PER_FACE_HEIGHT * max(upright, 1.0), self.angle)


class FaceDetector:
    """Proposals, looks, and choosing among what they saw."""

    def __init__(self, reader: FaceReader) -> None:
        self.reader = reader
        folder = Path(cv2.__file__).parent / "data"
        self._cascades = [cv2.CascadeClassifier(str(folder / name)) for name in CASCADES]

    def find(self, rgb: Pixels, *, every: bool = True) -> list[Face]:
        """Faces of a photo (H, W, 3) uint8, largest first; none is an empty list. See `sightings` for `every`."""
        return [face_of(sighting) for sighting in self.sightings(rgb, every=every)]

    def sightings(self, rgb: Pixels, *, every: bool = True, thorough: bool = True) -> list[Sighting]:
        """The last look at each face, largest first.

        every: look for small faces though large ones were found, which takes a second or more; otherwise the first
        proposals that hold a face are the last. thorough: without it only what is quick is tried, as for a frame that
        lost its face.
        """
        height, width = rgb.shape[:2]
        if min(height, width) < SMALLEST_FACE:
            return []
        picture, shorter = Pyramid(rgb), min(width, height)
        finest = max(WINDOW_PER_FACE_HEIGHT * SMALLEST_FACE, shorter / GRID_DEPTH)
        proposals: list[Callable[[], list[Window]]] = [
            lambda: grid(width, height, smallest=0.6 * shorter),
            lambda: self._cascade_windows(rgb, QUICK_EXTENT, profiles=False),
            lambda: grid(width, height, smallest=finest, largest=0.6 * shorter),
            lambda: self._cascade_windows(rgb, MIDDLE_EXTENT, profiles=False),
            lambda: self._cascade_windows(rgb, FULL_EXTENT, profiles=True),
        ]
        if every:
            found = self._follow(picture, proposals[0]() + proposals[-1]())
            return _largest_first(found or self._follow(picture, proposals[2]()))
        for propose in proposals if thorough else proposals[:2]:
            found = self._follow(picture, propose())
            if found:
                return _largest_first(found)
        return []

    def _follow(self, picture: Pyramid, windows: list[Window]) -> list[Sighting]:
        """Look once at all windows, then twice more where it is promising; keep one of each face."""
        seen = self.reader.look([picture] * len(windows), windows, closely=False)
        promising = suppress([sighting for sighting in seen if sighting.presence >= PROMISING])
        for _ in range(2):
            again = [sighting.window for sighting in promising]
            promising = self.reader.look([picture] * len(again), again, closely=False)
        certain = [s for s in promising if certainty_of(s) >= CERTAIN and _plausible(s, picture)]
        return suppress(certain)

    def _cascade_windows(self, rgb: Pixels, extent: int, *, profiles: bool) -> list[Window]:
        height, width = rgb.shape[:2]
        scale = min(1.0, extent / max(height, width))
        shrunk = cv2.resize(
            rgb, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
        )
        grey = cv2.equalizeHist(cv2.cvtColor(shrunk, cv2.COLOR_RGB2GRAY))
        windows = []
        frontal, profile = self._cascades
        for cascade, mirrored in ((frontal, False), (profile, False), (profile, True))[: 3 if profiles else 1]:
            boxes = cascade.detectMultiScale(
                grey[:, ::-1] if mirrored else grey, scaleFactor=1.15, minNeighbors=2, minSize=(24, 24)
            )
            for x, y, w, h in np.reshape(boxes, (-1, 4)).tolist():
                left = grey.shape[1] - x - w if mirrored else x
                windows.append(Window((left + w / 2) / scale, (y + h / 2) / scale, 1.35 * h / scale))
        return windows


def face_of(sighting: Sighting) -> Face:
    """The public face of a sighting."""
    return Face(*sighting.box, confidence=confidence_of(sighting), angle=sighting.window.angle)


def certainty_of(sighting: Sighting) -> float:
    """How sure it is that this is a face: presence, less where landmarks are expected to be off by more than usual."""
    return sighting.presence * min(1.0, MOST_EXPECTED_PX / max(sighting.error_px, 1e-3))


def confidence_of(sighting: Sighting) -> float:
    """How far the landmarks can be believed, 0..1: presence, halved where they are expected to be off by 6 pixels."""
    return sighting.presence / (1.0 + (sighting.error_px / HALF_BELIEVED_PX) ** 2)


def grid(width: int, height: int, *, smallest: float, largest: float = math.inf) -> list[Window]:
    """Windows over a picture, from one of its shorter side's size down to `smallest`, large ones first.

    Those of `largest` and above are left out.
    """
    windows = []
    side = 1.15 * min(width, height)
    while side >= smallest:
        if side < largest:
            for y in _places(height, side):
                windows += [Window(x, y, side) for x in _places(width, side)]
        side /= GRID_RATIO
    return windows


def _largest_first(sightings: list[Sighting]) -> list[Sighting]:
    return sorted(sightings, key=lambda sighting: -sighting.window.side)


def suppress(sightings: list[Sighting]) -> list[Sighting]:
    """Of sightings whose windows overlap, or lie in one another, the surest only."""
    kept: list[Sighting] = []
    for sighting in sorted(sightings, key=lambda s: -certainty_of(s)):
        if all(sighting.window.contained(other.window) < SAME for other in kept):
            kept.append(sighting)
    return kept


def _places(extent: int, side: float) -> list[float]:
    """Middles of windows along an axis: steps of GRID_STEP sides, the outermost a third of a side from the border."""
    margin = min(side / 3, extent / 2)
    count = 1 + math.ceil((extent - 2 * margin) / (GRID_STEP * side))
    places: list[float] = np.linspace(margin, extent - margin, count).tolist() if count > 1 else [extent / 2]
    return places


def _plausible(sighting: Sighting, picture: Pyramid) -> bool:
    """Whether most landmarks lie in the picture, the face is large enough to read, and about upright."""
    x, y = sighting.landmarks[:, 0], sighting.landmarks[:, 1]
    inside = (x >= 0) & (y >= 0) & (x <= picture.width) & (y <= picture.height)
    large_enough = sighting.window.side >= WINDOW_PER_FACE_HEIGHT * SMALLEST_FACE
    turn = math.remainder(sighting.window.angle, math.tau)
    return bool(inside.mean() > 0.7) and large_enough and abs(turn) <= MOST_TILTED
