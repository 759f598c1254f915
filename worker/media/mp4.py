"""Videos out: MP4 that browsers play and can start before it is whole.

H.264 yuv420p in BT.709 (tagged so), AAC sound, the index at the front (faststart). Frames come one by one and the sound
is decoded beside them, so memory does not grow with the length.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from model.arrays import Floats, Pixels
from worker.media.audio import Sound
from worker.media.marking import mark_mp4
from worker.media.planes import yuv_frame

# On talking heads as near to the frames as "veryfast" at a crf of 18, in two thirds of its time and twice the bytes.
PRESET, CRF = "superfast", 20
LONGEST_SIDE = 1920  # pixels of a video whose size was not asked for; larger ones few devices play
AAC_RATES = (44_100, 48_000)  # others are brought to 48 kHz


class Mp4Writer:
    """Takes frames in order; `frames` counts them. Made by `mp4_writer`."""

    def __init__(
        self, container: Any, *, width: int, height: int, fps: Fraction, sound: Sound | None, crf: int
    ) -> None:
        self.frames = 0
        self.width = width // 2 * 2  # yuv420p has one colour sample for 2 x 2 pixels; an odd last row or column goes
        self.height = height // 2 * 2
        self.fps = fps
        self._container = container
        self._video = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": PRESET})
        self._video.width, self._video.height = self.width, self.height
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        context.time_base = 1 / fps
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.color_range = ColorRange.MPEG
        self._track = None if sound is None else _SoundTrack(container, sound)

    @property
    def seconds(self) -> float:
        """Length of the pictures written so far."""
        return float(self.frames / self.fps)

    def write(self, picture: Pixels) -> None:
        """Append one frame: RGB, uint8 (height, width, 3), or yuv420p, uint8 (height * 3 / 2, width), sides even."""
        frame = yuv_frame(picture if picture.ndim == 2 else picture[: self.height, : self.width])
        frame.pts = self.frames
        frame.time_base = 1 / self.fps
        self._container.mux(self._video.encode(frame))
        self.frames += 1
        if self._track is not None:
            self._track.advance(self.seconds)

    def finish(self) -> None:
        """Write what the encoders still hold; the sound may outlast the pictures by a frame, the rest of it is left."""
        self._container.mux(self._video.encode(None))
        if self._track is not None:
            self._track.advance(self.seconds + float(1 / self.fps))
            self._track.finish()


class _SoundTrack:
    """Encodes a sound up to the time the pictures have reached."""

    def __init__(self, container: Any, sound: Sound) -> None:
        self._container = container
        self._blocks = sound.blocks()
        self._pending = np.zeros((0, min(sound.channels, 2)), np.float32)
        self._rate = sound.rate
        self._position = 0  # samples given to the encoder
        self._stream = container.add_stream("aac", rate=sound.rate if sound.rate in AAC_RATES else AAC_RATES[-1])
        self._stream.layout = "mono" if sound.channels == 1 else "stereo"
        self._stream.bit_rate = 128_000

    def advance(self, seconds: float) -> None:
        end = round(seconds * self._rate)
        while self._position < end:
            if not len(self._pending):
                block = next(self._blocks, None)
                if block is None:
                    return
                self._pending = _at_most_stereo(block)
            chunk, self._pending = np.split(self._pending, [end - self._position])
            self._encode(chunk)

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))

    def _encode(self, chunk: Floats) -> None:
        if not len(chunk):
            return
        packed = np.ascontiguousarray(np.clip(chunk, -1, 1)).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="mono" if chunk.shape[1] == 1 else "stereo")
        frame.sample_rate = self._rate
        frame.pts = self._position
        frame.time_base = Fraction(1, self._rate)
        self._container.mux(self._stream.encode(frame))
        self._position += len(chunk)


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
    better). `sound` is muxed from its start and ends with the last frame, or up to a frame later. If `synthetic`, the
    file is marked so.
    """
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        rate = Fraction(fps).limit_denominator(1001)
        writer = Mp4Writer(container, width=width, height=height, fps=rate, sound=sound, crf=crf)
        yield writer
        writer.finish()
    if synthetic:
        mark_mp4(path)


def _at_most_stereo(block: Floats) -> Floats:
    return block if block.shape[1] <= 2 else np.repeat(block.mean(axis=1, keepdims=True), 2, axis=1)
