"""Small real videos in fragments, as workers make them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.segments import cut
from worker.media.audio import Sound
from worker.media.sound_track import SoundEncoder, SoundPackets
from worker.media.stream import Fragments, StreamFormat, fragment_writer, frame_rate, write_init


@dataclass(frozen=True)
class Stream:
    """The files of a video in fragments."""

    form: StreamFormat
    init: Path
    fragments: tuple[Path, ...]
    frames: int

    @property
    def video(self) -> Fragments:
        """All of it."""
        return Fragments(self.init, self.fragments, self.form, self.frames)

    def bytes(self) -> bytes:
        """What a player has read when it has read all."""
        return b"".join(path.read_bytes() for path in (self.init, *self.fragments))


def stream(folder: Path, pictures: Sequence[np.ndarray], *, fps: float = 25, sound: Sound | None = None) -> Stream:
    """Write pictures in yuv420p (H * 3 / 2, W) in segments of the lengths that ours have."""
    rate = frame_rate(fps)
    encoder = None if sound is None else SoundEncoder(sound, rate)
    height, width = len(pictures[0]) * 2 // 3, pictures[0].shape[1]
    form = StreamFormat(width, height, rate, None if encoder is None else encoder.form)
    init = folder / "init.mp4"
    write_init(init, form)
    shares = _shares(encoder, len(pictures))
    fragments = tuple(folder / f"{index}.m4s" for index in range(len(shares)))
    for index, (path, share) in enumerate(zip(fragments, shares, strict=True)):
        write_fragment(path, form, pictures, index=index, sound=share)
    return Stream(form, init, fragments, len(pictures))


def write_fragment(
    path: Path, form: StreamFormat, pictures: Sequence[np.ndarray], *, index: int, sound: SoundPackets | None
) -> None:
    """Write one of the segments of a video of `pictures`."""
    frames = list(cut(len(pictures)))[index]
    with fragment_writer(path, form, first_frame=frames.start, sound=sound) as writer:
        for frame in frames:
            writer.write(pictures[frame])


def _shares(encoder: SoundEncoder | None, frames: int) -> list[SoundPackets | None]:
    *others, _ = spans = list(cut(frames))
    if encoder is None:
        return [None for _ in spans]
    shares: list[SoundPackets | None] = [encoder.until(span.stop) for span in others]
    return [*shares, encoder.finish(frames)]
