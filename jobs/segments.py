"""How a video is cut into segments: the first are short, so that it plays soon, the others long, which costs least.

Segments are what workers take turns with, what a player fetches, and what is tried again when a worker dies. The last
ones of a long video are short again, so that all who work on it end at about the same time.
"""

from collections.abc import Iterator
from itertools import chain, repeat

FIRST_LENGTHS = (12, 24, 48)  # frames of the first segments
LENGTH = 100  # frames of the others
LAST_LENGTH = 36  # frames of those that begin in
LAST_FRAMES = 300  # the last frames of a video that has
LONG_FRAMES = 600  # frames or more, if that is known beforehand


def cut(frames: int | None = None) -> Iterator[range]:
    """The frames of each segment, counted from 0, of a video of `frames` frames, or of one that goes on and on."""
    start = 0
    for length in chain(FIRST_LENGTHS, repeat(LENGTH)):
        if frames is not None and start >= frames:
            return
        near_the_end = frames is not None and frames >= LONG_FRAMES and start >= frames - LAST_FRAMES
        stop = start + (LAST_LENGTH if near_the_end else length)
        yield range(start, stop if frames is None else min(stop, frames))
        start = stop
