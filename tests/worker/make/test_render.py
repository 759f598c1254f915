"""Rendering into a file when the accelerator's memory runs out, which no test machine can be made to do."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from model.engines import RenderedFrame, RenderedFrames
from worker.make.motions import Drive
from worker.make.render import render_video
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import Workbench


class SmallMemory:
    """An animator with memory for `room` frames at once; the frame's grey is its motion's first number."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.batches: list[int] = []

    def animate(self, portrait: object, motions: np.ndarray, *, batch_size: int) -> Iterator[RenderedFrames]:
        for start in range(0, len(motions), batch_size):
            batch = motions[start : start + batch_size]
            self.batches.append(len(batch))
            if len(batch) > self.room and start > 0:  # the first batch may still find room
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield RenderedFrames(np.stack([np.full((256, 256, 3), value, np.uint8) for value in batch[:, 0]]))


class Shrinks:
    """Shows the animated crop at a quarter of its sides."""

    width = height = 64

    def paste(self, animated: RenderedFrame) -> np.ndarray:
        return animated.image[::4, ::4]


@dataclass(frozen=True)
class OneModel:
    animator: SmallMemory


def render(room: int, output: Path) -> tuple[SmallMemory, list[tuple[str, int, int | None]]]:
    told: list[tuple[str, int, int | None]] = []
    animator = SmallMemory(room)
    stages = Stages(lambda stage, done, total: told.append((stage, done, total)))
    bench = Workbench(OneModel(animator), WorkerSettings(batch_size=8), stages)  # type: ignore[arg-type]
    motions = np.linspace(30, 220, 20, dtype=np.float32)[:, None].repeat(70, axis=1)
    made = render_video(bench, None, Drive(motions, 25.0), Shrinks(), output)  # type: ignore[arg-type]
    assert (made.frames, made.width, made.height, made.duration) == (20, 64, 64, 0.8)
    return animator, told


def greys(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video=0)]


def test_with_room_every_batch_is_rendered_once_and_reported(tmp_path: Path) -> None:
    animator, told = render(8, tmp_path / "a.mp4")
    assert animator.batches == [8, 8, 4]
    assert told == [("render", done, 20) for done in (0, 8, 16, 20)]
    assert greys(tmp_path / "a.mp4") == pytest.approx(np.linspace(30, 220, 20), abs=2)


def test_without_room_the_batch_is_halved_and_the_video_is_whole(tmp_path: Path) -> None:
    animator, _ = render(4, tmp_path / "a.mp4")
    assert animator.batches == [8, 8, 4, 4, 4, 4, 4]
    assert greys(tmp_path / "a.mp4") == pytest.approx(np.linspace(30, 220, 20), abs=2)


def test_it_is_halved_only_once(tmp_path: Path) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        render(3, tmp_path / "a.mp4")


class Recording(Shrinks):
    """Counts how many batches have been begun by the animator when each frame is pasted."""

    def __init__(self, animator: SmallMemory, fails_at: int | None = None) -> None:
        self.animator = animator
        self.fails_at = fails_at
        self.threads: set[int] = set()
        self.begun: list[int] = []

    def paste(self, animated: RenderedFrame) -> np.ndarray:
        if len(self.begun) == self.fails_at:
            raise ValueError("this frame cannot be pasted")
        time.sleep(0.01)  # slower than the animator
        self.threads.add(threading.get_ident())
        self.begun.append(len(self.animator.batches))
        return super().paste(animated)


def render_with(canvas: Recording, output: Path) -> None:
    bench = Workbench(OneModel(canvas.animator), WorkerSettings(batch_size=4), Stages())  # type: ignore[arg-type]
    motions = np.full((20, 70), 128, np.float32)
    render_video(bench, None, Drive(motions, 25.0), canvas, output)  # type: ignore[arg-type]


def test_the_next_batch_is_rendered_while_one_is_encoded_and_none_beyond(tmp_path: Path) -> None:
    canvas = Recording(SmallMemory(8))
    render_with(canvas, tmp_path / "a.mp4")
    last_of_each = canvas.begun[3::4]
    assert last_of_each == [2, 3, 4, 5, 5]
    assert threading.get_ident() not in canvas.threads


def test_an_error_while_encoding_ends_the_job(tmp_path: Path) -> None:
    canvas = Recording(SmallMemory(8), fails_at=6)
    with pytest.raises(ValueError, match="cannot be pasted"):
        render_with(canvas, tmp_path / "a.mp4")
    assert len(canvas.animator.batches) <= 3
