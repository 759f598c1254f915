"""Blinks: taken out of the motion a flow learns, described by a few numbers, and put back at a rate that can be chosen.

A blink is a rare event of six to ten frames that owes little to the sound. A flow trained on minutes of speech neither
learns when blinks come nor lets a caller choose how many there are; a renewal process does both.
"""

from collections.abc import Iterator, Sequence
from itertools import count, islice, repeat

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from model.arrays import Floats, Landmarks
from model.morphable.basis import MOTION_FPS

LIDS = ((386, 374, 263, 362), (159, 145, 33, 133))  # upper lid, lower lid, outer and inner corner; left, right eye
TEMPLATE = 11  # frames of a blink's shape, its peak in the middle
CLOSED = 0.45  # closure over this is a blink
LONGEST_FRAMES = 14  # eyes shut for longer are not blinking


def running_median(values: Floats, reach: int = MOTION_FPS) -> Floats:
    """The median (T, ...) of each frame's neighbours up to `reach` frames away, the ends repeated."""
    padded = np.concatenate([np.repeat(values[:1], reach, axis=0), values, np.repeat(values[-1:], reach, axis=0)])
    return np.asarray(np.median(sliding_window_view(padded, 2 * reach + 1, axis=0), axis=-1), dtype=np.float32)


def lid_closure(landmarks: Landmarks) -> Floats:
    """How far the lids are closed (T,), 0 open to 1 shut, from landmarks (T, 478, 3).

    Open is the running median of the gap over two seconds, so that narrowed eyes are open ones.
    """
    gaps = []
    for upper, lower, outer, inner in LIDS:
        width = np.linalg.norm(landmarks[:, outer] - landmarks[:, inner], axis=-1)
        gaps.append(np.linalg.norm(landmarks[:, upper, :2] - landmarks[:, lower, :2], axis=-1) / width)
    gap = np.mean(gaps, axis=0)
    open_gap = running_median(gap)
    return np.asarray(np.clip(1 - gap / np.maximum(open_gap, 1e-3), 0, 1), dtype=np.float32)


def find_blinks(closure: Floats) -> list[int]:
    """The frames at which blinks are at their most closed."""
    shut = np.concatenate([[False], closure > CLOSED, [False]])
    starts, ends = np.flatnonzero(~shut[:-1] & shut[1:]), np.flatnonzero(shut[:-1] & ~shut[1:])
    return [int(a + closure[a:b].argmax()) for a, b in zip(starts, ends, strict=True) if b - a <= LONGEST_FRAMES]


class BlinkModel(nn.Module):
    """Intervals between blinks are log-normal; every blink has the mean shape of those seen."""

    template: Tensor
    log_interval: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("template", torch.zeros(TEMPLATE))  # closure 0..1
        self.register_buffer("log_interval", torch.tensor([1.1, 0.6]))  # mean and deviation of ln(seconds)

    def fit(self, closures: Sequence[Floats]) -> dict[str, float]:
        """Set shape and intervals from clips' closures (T,); returns the rate a minute and the count."""
        half = TEMPLATE // 2
        shapes, gaps = [], []
        for closure in closures:
            blinks = find_blinks(closure)
            gaps += list(np.diff(blinks) / MOTION_FPS)
            shapes += [closure[b - half : b + half + 1] for b in blinks if half <= b < len(closure) - half]
        minutes = sum(map(len, closures)) / MOTION_FPS / 60
        count = sum(len(find_blinks(closure)) for closure in closures)
        if shapes:
            shape = np.mean(shapes, axis=0)
            shape = np.clip((shape - shape.min()) / (shape.max() - shape.min()), 0, 1)
            self.template.copy_(torch.from_numpy(shape))
        if count and len(gaps) > 1:
            # clips are short, so that the intervals seen whole are the short ones: their spread is kept, their mean is
            # set so that the process has the rate that was counted
            spread = float(np.log(gaps).std())
            mean = np.log(60 * minutes / count) - spread**2 / 2
            self.log_interval.copy_(torch.tensor([mean, spread], dtype=torch.float32))
        return {"blinks": float(count), "blinks_per_minute": count / max(minutes, 1e-6)}

    def generate(self, frames: int, rate: float | None, random: np.random.Generator) -> Floats:
        """A closure track (frames,) with `rate` blinks a minute, people's own rate if None; 0 gives none."""
        return np.fromiter(islice(self.closures(rate, random), frames), np.float32, frames)

    def closures(self, rate: float | None, random: np.random.Generator) -> Iterator[float]:
        """What `generate` gives, one frame after the other, without end."""
        if rate == 0:
            yield from repeat(0.0)
        mean, spread = self.log_interval.tolist()
        if rate is not None:
            mean = np.log(60 / rate) - spread**2 / 2  # the mean of a log-normal is exp(mean + spread^2 / 2)
        closure, shape = np.zeros(TEMPLATE, np.float32), self.template.numpy()  # from the frame on
        time = random.uniform(0.2, 1.0) * np.exp(mean)
        for frame in count():
            if time * MOTION_FPS < frame + 1:
                closure = np.maximum(closure, shape)
                time += max(random.lognormal(mean, spread), TEMPLATE / MOTION_FPS)
            yield float(closure[0])
            closure = np.append(closure[1:], np.float32(0))
