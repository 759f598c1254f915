"""Driving videos in, as a stream of upright RGB frames at the rate asked for. Nothing is ever held whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from service.jobs.problems import ProblemType
from worker.errors import InputError
from worker.media.containers import VIDEO_CODECS, check_codec, open_container, reason
from worker.media.files import check_size

ALLOWED = "a video file (MP4, MOV, WebM, MKV, AVI)"


@dataclass(frozen=True)
class VideoLimits:
    """What is accepted: bytes of the file, its length in seconds and the pixels of one frame."""

    bytes: int = 200 * 2**20
    seconds: float = 300.0
    pixels: int = 3840 * 2160


@dataclass(frozen=True)
class VideoSource:
    """A video that can be decoded again and again. `width` and `height` as stored, before rotation."""

    path: Path
    width: int
    height: int
    seconds: float | None  # as the header says; None where it does not
    has_sound: bool
    limits: VideoLimits
    name: str = "video"

    def frames(self, fps: float) -> Iterator[NDArray[np.uint8]]:
        """Decode to uint8 (H, W, 3) frames at times n / fps from the first picture: each time's nearest picture.

        Rotation kept in the file is applied. Raises InputError: unreadable-media or video-too-long.
        """
        count = 0
        for frame, until in self._spans(fps):
            rgb = None
            while count / fps < until:
                if count >= self.limits.seconds * fps + 1:
                    raise _too_long(count / fps, self.limits, self.name)
                if rgb is None:
                    rgb = _upright(frame)
                yield rgb
                count += 1

    def _spans(self, fps: float) -> Iterator[tuple[Any, float]]:
        """Each decoded frame with the time, counted from the first, until which it is the nearest."""
        last = None
        start = time = 0.0
        step = 1 / fps
        for frame, time in self._pictures():
            if last is None:
                start = time
            else:
                yield last[0], (last[1] + time) / 2 - start
                step = time - last[1]
            last = frame, time
        if last is None:
            raise InputError(ProblemType.UNREADABLE_MEDIA, f"the {self.name} has no picture in it", got=0)
        frame = last[0]
        if frame.duration and frame.time_base:
            step = float(frame.duration * frame.time_base)
        end = time - start + step
        yield frame, max(end - 0.5 / fps, 0.5 / fps)  # as many frames as the length holds, rounded, and at least one

    def _pictures(self) -> Iterator[tuple[Any, float]]:
        """Decoded frames with rising times in seconds."""
        previous = None
        try:
            with open_container(self.path, self.name, allowed=ALLOWED, pixels=self.limits.pixels) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                step = 1 / float(stream.average_rate or 25)
                for frame in container.decode(stream):
                    time = frame.time
                    if time is None or (previous is not None and time <= previous):
                        time = 0.0 if previous is None else previous + step
                    previous = time
                    if frame.width * frame.height > self.limits.pixels:
                        raise _too_large(frame.width, frame.height, self.limits, self.name)
                    yield frame, time
        except (av.FFmpegError, ValueError) as error:
            raise InputError(
                ProblemType.UNREADABLE_MEDIA, f"the {self.name} is damaged or truncated: {reason(error)}"
            ) from error


def open_video(path: Path, limits: VideoLimits = VideoLimits(), *, name: str = "video") -> VideoSource:
    """Read a video's header and refuse what is not allowed.

    Raises InputError: too-large, unreadable-media, unsupported-media, too-many-pixels or video-too-long.
    """
    check_size(path, limits.bytes, name)
    with open_container(path, name, allowed=ALLOWED, pixels=limits.pixels) as container:
        if not container.streams.video:
            raise InputError(ProblemType.UNREADABLE_MEDIA, f"the {name} has no picture in it", got=0, allowed=ALLOWED)
        stream = container.streams.video[0]
        check_codec(stream, VIDEO_CODECS, f"{name}'s picture")
        if stream.codec_context is None or not stream.width or not stream.height:
            raise InputError(ProblemType.UNREADABLE_MEDIA, f"the {name}'s picture cannot be decoded")
        if stream.width * stream.height > limits.pixels:
            raise _too_large(stream.width, stream.height, limits, name)
        seconds = None
        if stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            seconds = container.duration / av.time_base
        if seconds is not None and seconds > limits.seconds:
            raise _too_long(seconds, limits, name)
        return VideoSource(
            path, stream.width, stream.height, seconds, bool(container.streams.audio), limits=limits, name=name
        )


def _upright(frame: Any) -> NDArray[np.uint8]:
    """RGB, turned as the file's display matrix says (counterclockwise by `rotation` degrees)."""
    rgb: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


def _too_large(width: int, height: int, limits: VideoLimits, name: str) -> InputError:
    return InputError(
        ProblemType.TOO_MANY_PIXELS,
        f"the {name} is {width} x {height}, {width * height} pixels; at most {limits.pixels} are allowed",
        got=width * height,
        allowed=limits.pixels,
    )


def _too_long(seconds: float, limits: VideoLimits, name: str) -> InputError:
    return InputError(
        ProblemType.VIDEO_TOO_LONG,
        f"the {name} is {seconds:.1f} seconds long; at most {limits.seconds:g} are allowed",
        got=round(seconds, 3),
        allowed=limits.seconds,
    )
