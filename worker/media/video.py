"""Driving videos in, as a stream of upright RGB frames at the rate asked for. Nothing is ever held whole."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from jobs.image_headers import MOST_SCANS
from jobs.media_types import VIDEO_TYPES, VIDEOS, listed
from jobs.problems import ProblemError, ProblemType
from model.arrays import Pixels
from model.footage import Upright, picture_stream, pixel_ratio, square_size
from worker.media.containers import VIDEO_CODECS, check_codec, open_container, reason
from worker.media.files import check_size, check_type
from worker.media.limits import VideoLimits

READ_PIXELS = 1920 * 1080  # of a frame: a face's motion needs no more, and some three dozen frames are held at a time
SCAN = b"\xff\xda"  # begins one in a JPEG
ALLOWED = f"a video file ({listed(VIDEOS)})"


@dataclass(frozen=True)
class VideoSource:
    """A video that can be decoded again and again. `width` and `height` in square pixels, before rotation."""

    path: Path
    width: int
    height: int
    seconds: float | None  # as the header says; None where it does not
    has_sound: bool
    limits: VideoLimits
    name: str = "video"

    def frames(self, fps: float) -> Iterator[Pixels]:
        """Decode to uint8 (H, W, 3) frames at times n / fps from the first picture: each time's nearest picture.

        They are upright, unmirrored and of square pixels, as the file says, and no larger than READ_PIXELS. Raises
        ProblemError: unreadable-media, too-many-pixels or video-too-long.
        """
        upright = Upright()
        count = 0
        for frame, ratio, until in self._spans(fps):
            rgb = None
            while count / fps < until:
                if count >= self.limits.seconds * fps + 1:
                    raise _too_long(count / fps, self.limits, self.name)
                if rgb is None:
                    rgb = upright(frame, ratio, most_pixels=READ_PIXELS)
                yield rgb
                count += 1

    @property
    def shrinkage(self) -> float:
        """How many of the video's pixels lie side by side in one of the frames' that are read of it."""
        return max(1.0, math.sqrt(self.width * self.height / READ_PIXELS))

    def _spans(self, fps: float) -> Iterator[tuple[Any, Fraction, float]]:
        """Each decoded frame, its pixels' ratio, and the time since the first until which it is the nearest."""
        last = None
        start = time = 0.0
        step = 1 / fps
        for frame, ratio, time in self._pictures():
            if last is None:
                start = time
            else:
                yield *last[:2], (last[2] + time) / 2 - start
                step = time - last[2]
            last = frame, ratio, time
        if last is None:
            raise ProblemError(ProblemType.UNREADABLE_MEDIA, f"the {self.name} has no picture in it", got=0)
        frame, ratio, _ = last
        if frame.duration and frame.time_base:
            step = float(frame.duration * frame.time_base)
        end = time - start + step
        # as many frames as the length holds, rounded, and at least one
        yield frame, ratio, max(end - 0.5 / fps, 0.5 / fps)

    def _pictures(self) -> Iterator[tuple[Any, Fraction, float]]:
        """Decoded frames, their pixels' ratio, and rising times in seconds."""
        previous = None
        try:
            with open_container(self.path, self.name, allowed=ALLOWED, pixels=self.limits.pixels) as container:
                stream = picture_stream(container)
                stream.thread_type = "AUTO"
                step = 1 / float(stream.average_rate or 25)
                for frame in self._decoded(container, stream):
                    time = frame.time
                    if time is None or (previous is not None and time <= previous):
                        time = 0.0 if previous is None else previous + step
                    previous = time
                    if frame.width * frame.height > self.limits.pixels:
                        raise _too_large(frame.width, frame.height, self.limits, self.name)
                    yield frame, pixel_ratio(stream), time
        except (av.FFmpegError, ValueError) as error:
            raise ProblemError(
                ProblemType.UNREADABLE_MEDIA, f"the {self.name} is damaged or truncated: {reason(error)}"
            ) from error

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        motion_jpeg = stream.codec_context.name == "mjpeg"
        for packet in container.demux(stream):
            # a scan takes a few bytes, and the decoder as long as the whole picture
            if motion_jpeg and (scans := bytes(packet).count(SCAN)) > MOST_SCANS:
                raise ProblemError(
                    ProblemType.UNREADABLE_MEDIA,
                    f"the {self.name} has a picture of {scans} scans; at most {MOST_SCANS} are allowed",
                    got=scans,
                    allowed=MOST_SCANS,
                )
            yield from packet.decode()


def open_video(path: Path, limits: VideoLimits, *, name: str = "video") -> VideoSource:
    """Read a video's header and refuse what is not allowed.

    Raises ProblemError: too-large, unreadable-media, unsupported-media, too-many-pixels or video-too-long.
    """
    check_size(path, limits.bytes, name)
    check_type(path, VIDEO_TYPES, ALLOWED, name)
    with open_container(path, name, allowed=ALLOWED, pixels=limits.pixels) as container:
        stream = picture_stream(container)
        if stream is None:
            raise ProblemError(ProblemType.UNREADABLE_MEDIA, f"the {name} has no picture in it", got=0, allowed=ALLOWED)
        check_codec(stream, VIDEO_CODECS, f"{name}'s picture")
        if stream.codec_context is None or not stream.width or not stream.height:
            raise ProblemError(ProblemType.UNREADABLE_MEDIA, f"the {name}'s picture cannot be decoded")
        if stream.width * stream.height > limits.pixels:
            raise _too_large(stream.width, stream.height, limits, name)
        seconds = None
        if stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            seconds = container.duration / av.time_base
        if seconds is not None and seconds > limits.seconds:
            raise _too_long(seconds, limits, name)
        width, height = square_size(stream.width, stream.height, pixel_ratio(stream))
        return VideoSource(path, width, height, seconds, bool(container.streams.audio), limits=limits, name=name)


def _too_large(width: int, height: int, limits: VideoLimits, name: str) -> ProblemError:
    return ProblemError(
        ProblemType.TOO_MANY_PIXELS,
        f"the {name} is {width} x {height}, {width * height} pixels; at most {limits.pixels} are allowed",
        got=width * height,
        allowed=limits.pixels,
    )


def _too_long(seconds: float, limits: VideoLimits, name: str) -> ProblemError:
    return ProblemError(
        ProblemType.VIDEO_TOO_LONG,
        f"the {name} is {seconds:.1f} seconds long; at most {limits.seconds:g} are allowed",
        got=round(seconds, 3),
        allowed=limits.seconds,
    )
