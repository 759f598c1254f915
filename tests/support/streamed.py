"""The worker's part of a video that plays while it is made, and small videos that browsers play."""

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, islice

import av
import numpy as np

from jobs.schemas import Result
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

    def begin(self, init: bytes = b"init", *, fps: str = "25") -> None:
        """Plan it."""
        key = self._artifacts.put(self.job_id, "init.mp4", [init]).key
        self._shared = Shared(head=f"{self.job_id}/head.npz", init=key, fps=fps, codecs=CODECS)
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
        stored = self._artifacts.put(self.job_id, "result.mp4", [data])
        result = Result(media_type="video/mp4", bytes=stored.bytes, sha256=stored.sha256)
        self._store.claims.succeed(claim, result, key=stored.key)

    def _claim(self, part: str) -> Claim:
        claim = self._store.claims.claim(self.job_id, holder="test:1", part=part)
        assert isinstance(claim, Claim)
        assert claim.part == part
        return claim


@dataclass(frozen=True)
class Video:
    """A video in both of its forms."""

    init: bytes
    fragments: list[bytes]
    whole: bytes
    frames: int


def small_video(*lengths: int, fps: int = 25) -> Video:
    """A rolling picture with a tone, in fragments of so many frames."""
    frames = sum(lengths)
    starts = {0, *accumulate(lengths)}
    fragmented = _encoded(frames, starts, fps, {"movflags": "frag_keyframe+empty_moov+default_base_moof"})
    init, *fragments = _fragments(fragmented)
    assert len(fragments) == len(lengths)
    return Video(init, fragments, _encoded(frames, starts, fps, {}), frames)


def _encoded(frames: int, starts: set[int], fps: int, options: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", "mp4", options=options) as container:
        video = container.add_stream("libx264", rate=fps, options={"g": "1000", "sc_threshold": "0", "bf": "0"})
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        assert isinstance(video, av.VideoStream)
        assert isinstance(sound, av.AudioStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        picture = np.linspace(0, 255, 64 * 48 * 3).astype(np.uint8).reshape(48, 64, 3)
        heard = 0
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, index, 1), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            if index in starts:
                frame.pict_type = av.video.frame.PictureType.I
            container.mux(video.encode(frame))
            while heard < (index + 1) * 16_000 // fps:
                samples = np.sin(np.arange(heard, heard + 1024) / 20).astype(np.float32)[None] / 8
                tone = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                tone.sample_rate, tone.pts, tone.time_base = 16_000, heard, Fraction(1, 16_000)
                container.mux(sound.encode(tone))
                heard += 1024
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return buffer.getvalue()


def _fragments(data: bytes) -> list[bytes]:
    """What stands before the first fragment, then each of them."""
    borders, at = [0], 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"moof":
            borders.append(at)
        if kind == b"mfra":
            break
        at += size
    return [data[start:stop] for start, stop in zip(borders, [*borders[1:], at], strict=True)]
