"""One long video over many workers that render nothing but wait as long as rendering takes.

All else is as in the service: the plan is opened segment by segment, segments are claimed in turn, their plans and
fragments are files of the job, and who ends the last one joins them.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from jobs.motions import KeyframesMotion
from jobs.schemas import MOTION, Result
from jobs.segments import cut
from jobs.store.records import Shared
from model.audio.streams import block_lengths
from worker.make.plan import Head, Segment, Totals
from worker.media.stream import StreamFormat
from worker.queue.outcomes import Stored
from worker.queue.videos import Videos, Work

FPS = 25
FRAME_S = 0.032  # what a frame takes on two cores
BEFORE_S, PLAN_S = 0.16, 0.0008  # what speech takes until its first motions are there, and then for each frame
MARGIN = 13  # frames on either side of a segment that count
REPORT_FRAMES = 8
FRAME_BYTES = 7_000


class WaitingVideos(Videos):
    """Plans videos of as many frames as their motion has, each of which takes FRAME_S to render.

    All of it takes `faster` times less. `wait` is how time is spent.
    """

    def __init__(self, *given: Any, wait: Callable[[float], None], faster: float, **keywords: Any) -> None:
        super().__init__(*given, **keywords)
        self._wait = lambda seconds: wait(seconds / faster)

    def _begun(self, work: Work) -> Any:
        motion = work.inputs.document(MOTION, work.spec.motion_file) or work.spec.motion
        assert isinstance(motion, KeyframesMotion)
        return _Plan(round(motion.keyframes[-1].t * (work.spec.options.fps or FPS)), self._wait)

    def _render(self, work: Work, shared: Shared, segment: Segment, path: Path) -> None:
        for first in range(0, len(segment.own), REPORT_FRAMES):
            count = min(REPORT_FRAMES, len(segment.own) - first)
            self._wait(count * FRAME_S)
            work.bench.stages.report("render", first + count, None)
        path.write_bytes(bytes(FRAME_BYTES * len(segment.own)))

    def _result(self, work: Work, head: Head, init: Path, fragments: list[Path], totals: Totals) -> Stored:
        with self._artifacts.draft(work.claim.job_id, "result.mp4") as draft:
            draft.path.write_bytes(b"".join(fragment.read_bytes() for fragment in fragments))
            artifact = self._commit(work, draft)
        result = Result(media_type="video/mp4", bytes=artifact.bytes, sha256=artifact.sha256, frames=totals.frames)
        return Stored(result, artifact.key, {"frames": totals.frames})


class _Plan:
    """As worker.make.plan.Plan, of a face that nobody has."""

    def __init__(self, frames: int, wait: Callable[[float], None]) -> None:
        face: Any = SimpleNamespace(
            crop=SimpleNamespace(x=0.0, y=0.0, side=256.0),
            image=np.zeros((256, 256, 3), np.uint8),
            landmarks=np.zeros((478, 3), np.float32),
            identity=np.zeros(80, np.float32),
            motion=np.zeros(70, np.float32),
            confidence=1.0,
        )
        self.head = Head(face, StreamFormat(width=512, height=600, fps=Fraction(FPS)))
        self.sitter: Any = None  # nobody sits for it
        self.frames = frames
        self._wait = wait
        self.totals = Totals(frames, 0, None)

    def __iter__(self) -> Iterator[Segment | None]:
        planned, blocks = 0, block_lengths(self.frames)
        self._wait(BEFORE_S)
        for index, own in enumerate(cut(self.frames)):
            while planned < min(own.stop + MARGIN, self.frames):
                block = next(blocks)
                self._wait(block * PLAN_S)
                planned += block
                yield None
            before, behind = min(own.start, MARGIN), min(self.frames - own.stop, MARGIN)
            motion = np.zeros((before + len(own) + behind, 70), np.float32)
            yield Segment(index, own.start, motion, range(before, before + len(own)), last=own.stop == self.frames)
