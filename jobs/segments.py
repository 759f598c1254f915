"""How a video is cut into segments: the first are short, so that it plays soon, the others long, which costs least.

Segments are what workers take turns with, what a player fetches, and what is tried again when a worker dies. Where they
begin depends on nothing but their number, so that nobody needs to know how long the video will be.
"""

FIRST_LENGTHS = (12, 24, 48)  # frames of the first segments
LENGTH = 100  # frames of all others; of the last what is left
_BORDERS = (0, *(sum(FIRST_LENGTHS[: number + 1]) for number in range(len(FIRST_LENGTHS))))


def frames_of_segment(index: int, frames: int | None = None) -> range:
    """The frames of a video that its `index`-th segment has, counted from 0; of one of `frames` frames, if told."""
    beyond = index - len(FIRST_LENGTHS)
    if beyond < 0:
        start, length = _BORDERS[index], FIRST_LENGTHS[index]
    else:
        start, length = _BORDERS[-1] + beyond * LENGTH, LENGTH
    stop = start + length
    return range(start, stop if frames is None else max(start, min(stop, frames)))


def count_segments(frames: int) -> int:
    """How many segments a video of so many frames has."""
    short = sum(frames > border for border in _BORDERS[:-1])
    return short + max(0, -(-(frames - _BORDERS[-1]) // LENGTH))
