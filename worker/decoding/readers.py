"""Photos, sound and video in, as `worker.media` reads them, but each decoded by a child that can be killed.

All raise ProblemError too-costly besides what their namesakes do, and whatever `check` raises.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from jobs.settings import MIB
from model.arrays import Pixels, Samples
from worker.decoding.confinement import Bounds
from worker.decoding.decoding import Decoding
from worker.decoding.wire import Header
from worker.media.audio import Sound, Speech, checked_speech
from worker.media.files import check_length
from worker.media.limits import AudioLimits, ImageLimits, VideoLimits
from worker.media.video import VideoSource
from worker.stages import Check, unchecked

HEADER = Bounds(memory=512 * MIB, seconds=8)
IMAGE = Bounds(memory=832 * MIB, seconds=9)
STREAM_MEMORY = 768 * MIB
# seconds of computing for each second that a video or a sound has: several times what the most costly take
VIDEO_EFFORT, SOUND_EFFORT = 5.0, 0.5
LARGEST_BLOCK = 64 * MIB  # of samples that come at once
# Of pictures that come one by one: what one child may use, how many of them it decodes, and how long one may take
PICTURES = Bounds(memory=256 * MIB, seconds=60)
PICTURES_EACH = 500
PICTURE_STALL_S = 3.0


def read_image(path: Path, limits: ImageLimits, *, name: str = "portrait", check: Check = unchecked) -> Pixels:
    """As `worker.media.images.read_image`."""
    arguments = {"limits": asdict(limits), "name": name}
    with Decoding(
        "image", path, name=name, bounds=IMAGE, check=check, arguments=arguments, room=3 * limits.pixels
    ) as decoding:
        return decoding.array(np.uint8)


class JpegReader:
    """Reads JPEG after JPEG as `worker.media.images.read_jpeg` does, by a child that lives on until `close`.

    No file is opened. A picture that cannot be read costs the child, and the next one gets a new one.
    """

    def __init__(self, limits: ImageLimits, *, name: str, check: Check = unchecked) -> None:
        self._limits = limits
        self._name = name
        self._check = check
        self._child = contextlib.ExitStack()
        self._left = 0  # pictures that it may still decode

    def read(self, data: bytes) -> Pixels:
        """A picture, uint8 (H, W, 3). Raises as `read_jpeg` does."""
        check_length(len(data), self._limits.bytes, self._name)  # there is room for no more
        if not self._left:
            self._renew()
        self._left -= 1
        try:
            return self._decoding.answer(data, np.uint8)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the child; the next picture would get a new one."""
        self._child.close()
        self._left = 0

    def _renew(self) -> None:
        self._child.close()
        decoding = Decoding(
            "pictures",
            None,
            name=self._name,
            bounds=PICTURES,
            check=self._check,
            arguments={"limits": asdict(self._limits), "name": self._name},
            room=max(self._limits.bytes, 3 * self._limits.pixels),
            stall_s=PICTURE_STALL_S,
        )
        self._decoding = self._child.enter_context(decoding)
        self._left = PICTURES_EACH


def open_video(path: Path, limits: VideoLimits, *, name: str = "video", check: Check = unchecked) -> VideoSource:
    """As `worker.media.video.open_video`."""
    header = _header("video", path, limits, name, check)
    return _Video(path=path, limits=limits, name=name, header=header, check=check, **header)


def open_sound(path: Path, limits: AudioLimits, *, name: str = "audio", check: Check = unchecked) -> Sound:
    """As `worker.media.audio.open_sound`."""
    header = _header("sound", path, limits, name, check)
    seconds = _computing_s(header["seconds"], limits.seconds, SOUND_EFFORT)
    return _Sound(path=path, name=name, header=header, seconds_of_computing=seconds, check=check, **header)


def read_speech(path: Path, limits: AudioLimits, *, name: str = "audio", check: Check = unchecked) -> Speech:
    """As `worker.media.audio.read_speech`."""
    return checked_speech(open_sound(path, limits, name=name, check=check), limits)


@dataclass(frozen=True)
class _Video(VideoSource):
    header: Header = field(default_factory=dict, compare=False)
    check: Check = unchecked

    def frames(self, fps: float) -> Iterator[Pixels]:
        arguments = {"limits": asdict(self.limits), "name": self.name, "fps": fps, **self.header}
        bounds = Bounds(memory=STREAM_MEMORY, seconds=_computing_s(self.seconds, self.limits.seconds, VIDEO_EFFORT))
        with Decoding(
            "frames",
            self.path,
            name=self.name,
            bounds=bounds,
            check=self.check,
            arguments=arguments,
            room=3 * self.limits.pixels,
        ) as decoding:
            yield from decoding.arrays(np.uint8)


@dataclass(frozen=True)
class _Sound(Sound):
    header: Header = field(default_factory=dict, compare=False)
    seconds_of_computing: int = HEADER.seconds
    check: Check = unchecked

    def blocks(self) -> Iterator[Samples]:
        arguments = {"name": self.name, **self.header}
        bounds = Bounds(memory=STREAM_MEMORY, seconds=self.seconds_of_computing)
        with Decoding(
            "blocks",
            self.path,
            name=self.name,
            bounds=bounds,
            check=self.check,
            arguments=arguments,
            room=LARGEST_BLOCK,
        ) as decoding:
            yield from decoding.arrays(np.float32)


def _computing_s(told_s: float | None, most_s: float, effort: float) -> int:
    """Seconds of computing for what says that it is `told_s` long, and if it does not, is `most_s` long at most."""
    if told_s is None or not 0 < told_s <= most_s:  # a file, or who has taken its decoder over, says anything
        told_s = most_s
    return HEADER.seconds + math.ceil(effort * told_s)


def _header(task: str, path: Path, limits: VideoLimits | AudioLimits, name: str, check: Check) -> Header:
    arguments = {"limits": asdict(limits), "name": name}
    with Decoding(task, path, name=name, bounds=HEADER, check=check, arguments=arguments) as decoding:
        return decoding.header()
