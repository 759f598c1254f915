"""Rendering into a file when the accelerator's memory runs out, which no test machine can be made to do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from worker.canvas import Canvas
from worker.render import render_video
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import Workbench


class SmallMemory:
    """An animator with memory for `room` frames at once; the frame's grey is its motion's first number."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.batches: list[int] = []

    def animate(self, portrait: object, motions: np.ndarray, *, batch_size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(motions), batch_size):
            batch = motions[start : start + batch_size]
            self.batches.append(len(batch))
            if len(batch) > self.room and start > 0:  # the first batch may still find room
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield np.stack([np.full((256, 256, 3), value, np.uint8) for value in batch[:, 0]])


@dataclass(frozen=True)
class OneModel:
    animator: SmallMemory


def render(room: int, output: Path) -> tuple[SmallMemory, list[tuple[str, int, int | None]]]:
    told: list[tuple[str, int, int | None]] = []
    animator = SmallMemory(room)
    stages = Stages(lambda stage, done, total: told.append((stage, done, total)))
    bench = Workbench(OneModel(animator), WorkerSettings(batch_size=8), stages)  # type: ignore[arg-type]
    motions = np.linspace(30, 220, 20, dtype=np.float32)[:, None].repeat(70, axis=1)
    made = render_video(bench, None, motions, Canvas.square(64), output, fps=25.0, sound=None)  # type: ignore[arg-type]
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
