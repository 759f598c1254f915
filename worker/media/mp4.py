"""Videos out: MP4 that browsers play and can start before it is whole.

H.264 yuv420p in BT.709 (tagged so), AAC sound, the index at the front (faststart). Frames come one by one and the sound
is decoded beside them, so memory does not grow with the length.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.arrays import Pixels
from worker.media.audio import Sound
from worker.media.marking import mark_mp4
from worker.media.sound_track import SoundEncoder, SoundTrack
from worker.media.stream import CRF, PictureTrack, StreamFormat, frame_rate, mp4_file


class Mp4Writer:
    """Takes frames in order. Made by `mp4_writer`."""

    def __init__(self, container: Any, form: StreamFormat, *, sound: SoundEncoder | None, crf: int) -> None:
        self.form = form
        self._container = container
        self._pictures = PictureTrack(container, form, crf=crf)
        self._sound = None if sound is None else (sound, SoundTrack(container, sound.form))

    @property
    def frames(self) -> int:
        """Pictures written so far."""
        return self._pictures.frames

    @property
    def seconds(self) -> float:
        """Their length."""
        return float(self.frames / self.form.fps)

    def write(self, picture: Pixels) -> None:
        """Append one frame: RGB, uint8 (height, width, 3), or yuv420p, uint8 (height * 3 / 2, width), sides even."""
        self._container.mux(self._pictures.encode(picture))
        if self._sound is not None:
            encoder, track = self._sound
            track.write(encoder.until(self.frames))

    def finish(self) -> None:
        """Write what the encoders still hold."""
        self._container.mux(self._pictures.finish())
        if self._sound is not None:
            encoder, track = self._sound
            track.write(encoder.finish(self.frames))


@contextmanager
def mp4_writer(
    path: Path,
    *,
    width: int,
    height: int,
    fps: float,
    sound: Sound | None = None,
    crf: int = CRF,
    synthetic: bool = True,
) -> Iterator[Mp4Writer]:
    """Open an MP4 at `path` for writing; it is whole when the block ends without an exception, and not before.

    Sizes in pixels (odd ones lose their last row or column), `fps` frames a second, `crf` the H.264 quality (lower is
    better). `sound` is muxed from its start as `SoundEncoder` gives it. If `synthetic`, the file is marked so.
    """
    rate = frame_rate(fps)
    encoder = None if sound is None else SoundEncoder(sound, rate)
    form = StreamFormat(
        width=width // 2 * 2,
        height=height // 2 * 2,
        fps=rate,
        sound=None if encoder is None else encoder.form,
    )
    with mp4_file(path) as container:
        writer = Mp4Writer(container, form, sound=encoder, crf=crf)
        yield writer
        writer.finish()
    if synthetic:
        mark_mp4(path)
