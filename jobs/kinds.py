"""The kinds of job: the queue of each, whose turn comes first, and the models that each needs; live sessions beside."""

from typing import NamedTuple

from jobs.schemas import JobKind

SPEECH_MODEL = "audio"
"""The kind of model that a video from speech needs beside those of every video."""


class Kind(NamedTuple):
    """What both ends must know of a kind of job.

    Workers take what waits in the queue of the lowest `priority` first. `models` are the kinds of model without which
    no such job can be done.
    """

    queue: str
    priority: int
    models: tuple[str, ...]


_READING = ("morphable", "extractor")
_RENDERING = (*_READING, "skinning", "renderer")

KINDS = {
    # an image, which somebody waits for, goes before a video
    JobKind.IMAGE: Kind("images", priority=0, models=_RENDERING),
    JobKind.VIDEO: Kind("videos", priority=2, models=_RENDERING),
    JobKind.MOTION: Kind("motions", priority=1, models=_READING),
}
LIVE_QUEUE = "live"
"""Of live sessions, which are no jobs."""

PRIORITIES = {LIVE_QUEUE: -1, **{kind.queue: kind.priority for kind in KINDS.values()}}
"""Of the queues: a live session's client looks on, and waits for a free worker only."""

QUEUES = tuple(PRIORITIES)
