"""Pairs of frames of one person for training a renderer: what a batch of them is, and where batches come from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from model.arrays import Array, Pixels

WINDOW_RADIUS = 13
WINDOW = 2 * WINDOW_RADIUS + 1


@dataclass(frozen=True)
class Batch:
    """B pairs. Images (B, 3, S, S) in [-1, 1]; motion (B, D, 27), the target's window.

    The rest is known where the data has landmarks:
    prior (B, CHANNELS, S, S), see `model.renderer.guide`, takes the source's landmarks to where the change of motion
        moves them.
    region (B, 1, S, S) is 0..1 near eyes and mouth of the target, and more between its lips.
    """

    source: Tensor
    target: Tensor
    motion: Tensor
    prior: Tensor | None = None
    region: Tensor | None = None

    def pin_memory(self) -> "Batch":
        """The same in memory that a GPU reads from by itself."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """The same on a device, images in channels_last."""
        moved = self._each(lambda tensor: tensor.to(device, non_blocking=True))
        source, target = (image.contiguous(memory_format=torch.channels_last) for image in (moved.source, moved.target))
        return replace(moved, source=source, target=target)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        there = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(tensor) for name, tensor in there.items() if tensor is not None})


class PairSource(Protocol):
    """One split of a data set."""

    motion_space: str
    dimension: int  # of a motion: D
    sources: list[str]  # what a card says of the data
    landmarks: bool  # whether batches have what needs them

    def batch(self, generators: Sequence[np.random.Generator], size: int) -> Batch:
        """A random pair of frames, in both directions, for each of the generators: B = 2 * pairs.

        Each pair has a generator of its own, so that it is the same whichever process draws it.
        """

    def first_to_farthest(self, size: int, *, clips: int) -> Iterator[Batch]:
        """One pair each of `clips` clips spread over the data: the first frame to the one that moved most."""

    def back_from_the_side(self, size: int, *, pictures: int) -> Iterator[Batch]:
        """One pair each of `pictures` pictures spread over the data, turned to either side and back; see `warp_back`.

        None where the data cannot be turned.
        """


def to_tensor(image: Pixels, size: int, *, mirrored: bool = False) -> Tensor:
    """A square picture (S, S, 3) uint8 as (3, size, size) in [-1, 1]."""
    if size != image.shape[0]:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    if mirrored:
        image = image[:, ::-1]
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1.0


def window_of(frame: int, length: int) -> Array:
    """Numbers (27,) of the frames around one of `length` frames; those beyond the ends are the first or the last."""
    return np.arange(frame - WINDOW_RADIUS, frame + WINDOW_RADIUS + 1).clip(0, length - 1)
