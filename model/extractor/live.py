"""One face followed through pictures as they come: none is waited for, and each costs one look as long as it is seen.

The other one for that, which looks ahead and at every frame, is `model.extractor.follower`.
"""

import math

from model.arrays import Landmarks, Pixels
from model.extractor.detect import FaceDetector
from model.extractor.follower import LOST, nearest
from model.extractor.reader import FaceReader, Sighting
from model.extractor.window import Pyramid

SEARCH_EVERY_S = 0.5  # where the face is not where it was: a search takes as long as ten looks


class LiveFollower:
    """Looks where the face was in the picture before, and searches where it is not there.

    The largest face is followed, and when it has gone, the one that comes nearest to it. Searches are quick: they find
    faces of about a seventh of the picture's shorter side and more.
    """

    def __init__(self, reader: FaceReader, detector: FaceDetector) -> None:
        self._reader = reader
        self._detector = detector
        self._last: Sighting | None = None
        self._searched_s = -math.inf

    def look(self, rgb: Pixels, at_s: float) -> Landmarks | None:
        """Landmarks (478, 3) in source pixels of the face in a picture (H, W, 3) uint8, if it is seen.

        `at_s` are seconds since any moment; the pictures that a follower sees have one size.
        """
        picture = Pyramid(rgb)
        sighting = self._last and self._seen(picture, self._last)
        if sighting is None and at_s >= self._searched_s + SEARCH_EVERY_S:
            self._searched_s = at_s
            found = self._detector.sightings(rgb, every=False, thorough=False)
            if found:
                sighting = self._seen(picture, nearest(found, self._last) if self._last else found[0])
        self._last = sighting or self._last
        return None if sighting is None else sighting.landmarks

    def _seen(self, picture: Pyramid, start: Sighting) -> Sighting | None:
        (sighting,) = self._reader.look([picture], [start.window])
        return sighting if sighting.presence >= LOST else None
