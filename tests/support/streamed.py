"""The worker's part of a video that plays while it is made."""

from itertools import islice

from jobs.schemas import Result, VideoSpec
from jobs.segments import cut
from jobs.store.names import JOIN
from jobs.store.records import Claim, Found, Fragment, Shared
from service.context import Context

CODECS = "avc1.42c00d, mp4a.40.2"


class Streamed:
    """A video job whose segments come one by one, from whoever."""

    def __init__(self, context: Context, job_id: str) -> None:
        self.job_id = job_id
        self._store = context.store
        self._artifacts = context.artifacts

    def begin(self, init: bytes = b"init") -> None:
        """Plan it."""
        key = self._artifacts.put(self.job_id, "init.mp4", [init]).key
        self._shared = Shared(head=f"{self.job_id}/head.npz", init=key, fps="25", codecs=CODECS)
        self.plan = self._claim("")
        self._store.segments.begin(self.plan, self._shared, frames=None, most_workers=None)
        self._opened = 0

    def add(self, number: int, fragment: bytes = b"0123456789", *, frames: int | None = None) -> None:
        """Make a segment; the last one of a video has less `frames` than others."""
        while self._opened <= number:
            self._store.segments.open(self.plan, self._opened, f"{self.job_id}/plan-{self._opened}.npz")
            self._opened += 1
        claim = self._claim(str(number))
        stored = self._artifacts.put(self.job_id, f"segment-{number}.m4s", [fragment])
        fragment_frames = frames or len(next(islice(cut(), number, None)))
        self._store.segments.done(claim, Fragment(stored.key, stored.bytes, fragment_frames, self._shared))

    def end(self, frames: int) -> None:
        """End the plan."""
        self._store.segments.planned(self.plan, frames=frames, found=Found())

    def join(self, data: bytes = b"the result") -> None:
        """Make the result."""
        claim = self._claim(JOIN)
        record = self._store.get(self.job_id)
        assert record is not None
        assert isinstance(record.spec, VideoSpec)
        made = record.spec.options.result_format
        stored = self._artifacts.put(self.job_id, f"result.{made.suffix}", [data])
        result = Result(media_type=made.media_type, bytes=stored.bytes, sha256=stored.sha256)
        self._store.claims.succeed(claim, result, key=stored.key)

    def _claim(self, part: str) -> Claim:
        claim = self._store.claims.claim(self.job_id, holder="test:1", part=part)
        assert isinstance(claim, Claim)
        assert claim.part == part
        return claim
