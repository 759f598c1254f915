"""A decoding child: confined first, then it decodes one file, or what is handed over, and sends what comes out."""

import contextlib
import mmap
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from jobs.problems import ProblemError
from model.arrays import Array, Floats
from worker.decoding import wire
from worker.decoding.confinement import Bounds, confine
from worker.media.audio import Sound
from worker.media.audio import open_sound as open_sound_here
from worker.media.images import read_image as read_image_here
from worker.media.images import read_jpeg
from worker.media.limits import AudioLimits, ImageLimits, VideoLimits
from worker.media.video import VideoSource
from worker.media.video import open_video as open_video_here

Message = tuple[wire.Header, Array | None]

BLOCK_BYTES = 1 << 18


def image(path: Path, *, limits: dict[str, Any], name: str) -> Iterator[Message]:
    """A picture, uint8 (H, W, 3)."""
    yield {}, read_image_here(path, ImageLimits(**limits), name=name)


def video(path: Path, *, limits: dict[str, Any], name: str) -> Iterator[Message]:
    """What a video's header says: the fields of a VideoSource."""
    yield _fields(open_video_here(path, VideoLimits(**limits), name=name)), None


def frames(path: Path, *, limits: dict[str, Any], name: str, fps: float, **header: Any) -> Iterator[Message]:
    """The frames of a video, uint8 (H, W, 3) each."""
    source = VideoSource(path, limits=VideoLimits(**limits), name=name, **header)
    for frame in source.frames(fps):
        yield {}, frame


def sound(path: Path, *, limits: dict[str, Any], name: str) -> Iterator[Message]:
    """What a sound's header says: the fields of a Sound."""
    yield _fields(open_sound_here(path, AudioLimits(**limits), name=name)), None


def blocks(path: Path, *, name: str, **header: Any) -> Iterator[Message]:
    """The samples of a sound, float32 (n, channels) each."""
    gathered: list[Floats] = []
    for block in Sound(path, name=name, **header).blocks():  # FFmpeg's are of some thousand samples
        gathered.append(block)
        if sum(each.nbytes for each in gathered) >= BLOCK_BYTES:
            yield {}, np.concatenate(gathered)
            gathered.clear()
    if gathered:
        yield {}, np.concatenate(gathered)


def pictures(handed: Iterator[bytes], *, limits: dict[str, Any], name: str) -> Iterator[Message]:
    """The picture, uint8 (H, W, 3), of each JPEG that is handed over."""
    for data in handed:
        yield {}, read_jpeg(data, ImageLimits(**limits), name=name)


TASKS: dict[str, Callable[..., Iterator[Message]]] = {
    task.__name__: task for task in (image, video, frames, sound, blocks, pictures)
}


def run(request: wire.Header, channel: int, shared: int, *, parent: int) -> NoReturn:
    """Do what is asked, say how it went, and end this process, which was forked for nothing else.

    `channel` and `shared` are open files: a socket for messages, and memory for arrays.
    """
    code = os.EX_SOFTWARE
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):  # the forkserver's own channel among them
            os.dup2(nothing, stream)
        os.close(nothing)
        _decode(request, socket.socket(fileno=channel), mmap.mmap(shared, 0), parent)
        code = os.EX_OK
    finally:
        os._exit(code)


def _decode(request: wire.Header, channel: socket.socket, memory: mmap.mmap, parent: int) -> None:
    path = None if request["path"] is None else Path(request["path"])
    try:
        confine(path, Bounds(**request["bounds"]))
        if os.getppid() != parent:  # it died before we could ask to die with it
            return
        taken = True  # what lies in the memory
        source = path or _handed_over(channel, memory)
        for header, array in TASKS[request["task"]](source, **request["arguments"]):
            if array is not None:
                if not taken and not channel.recv(1):
                    return
                np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)[...] = array
                # who hands something over has taken what came of the one before
                header, taken = {"shape": array.shape}, path is None  # noqa: PLW2901
            wire.send(channel, header)
    except BrokenPipeError:  # nobody waits any more
        return
    except BaseException as error:  # the edge: whatever it is, the worker is told
        wire.send(channel, _described(error))


def _handed_over(channel: socket.socket, memory: mmap.mmap) -> Iterator[bytes]:
    """What the worker puts into the memory, one after the other, until it closes the channel."""
    with contextlib.suppress(EOFError):
        while True:
            yield memory[: wire.receive(wire.fill_from(channel))["bytes"]]


def _described(error: BaseException) -> wire.Header:
    if _lacks_memory(error):
        return {"lacks": "memory"}
    if isinstance(error, ProblemError):
        return {"problem": error.problem_type.name, "detail": error.detail, "got": error.got, "allowed": error.allowed}
    return {"fault": "".join(traceback.format_exception(error))[-8000:]}


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether memory could not be had, be it that a decoder reported that as damage to the file."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__
    return False


def _fields(read: Sound | VideoSource) -> wire.Header:
    told = {"path", "limits", "name"}  # by the worker, which knows them
    return {name: value for name, value in vars(read).items() if name not in told}
