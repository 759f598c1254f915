"""Long sequences in blocks: what a filter needs of the neighbours goes with each block, so that no seam shows."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import TypeVar

import torch
from torch import Tensor

BLOCK_FRAMES = 250  # video frames that go through the network at once: 10 s
FIRST_BLOCKS = (50, 50, 50, 100)  # the first are shorter: who waits for the first frames waits for what is around them

T = TypeVar("T")


def block_lengths(frames: int) -> Iterator[int]:
    """The lengths of the blocks that a sequence of `frames` frames is cut into."""
    for length in chain(FIRST_BLOCKS, repeat(BLOCK_FRAMES)):
        if frames <= 0:
            return
        yield min(length, frames)
        frames -= length


def neighbourhoods(blocks: Iterable[Tensor], margin: int, ahead: int | None = None) -> Iterator[tuple[Tensor, slice]]:
    """Each block (T, ...) with up to `margin` rows before it and `ahead` after it, and where it lies among them.

    There are fewer only at the two ends of the sequence, so that what a filter does there it does there alone. `ahead`
    is `margin` when None. No more blocks are taken than the next one that is yielded needs.
    """
    ahead = margin if ahead is None else ahead
    rows, start = torch.empty(0), 0  # rows held, and where in them the first block not yielded begins
    waiting: list[int] = []

    def first() -> tuple[Tensor, slice]:
        nonlocal rows, start
        length = waiting.pop(0)
        begin = max(0, start - margin)
        around = rows[begin : start + length + ahead], slice(start - begin, start - begin + length)
        rows, start = rows[begin:], start - begin + length
        return around

    for block in blocks:
        rows = torch.cat([rows, block]) if len(rows) else block
        waiting.append(len(block))
        while waiting and len(rows) - start - waiting[0] >= ahead:
            yield first()
    while waiting:
        yield first()


def shared(items: Iterable[T], readers: int) -> list[Iterator[T]]:
    """Iterators over items that are gone through once; only what one has had and another has not is held.

    `itertools.tee` holds up to 56 items more, which it lets go in bunches.
    """
    source = iter(items)
    waiting: list[deque[T]] = [deque() for _ in range(readers)]

    def each(own: deque[T]) -> Iterator[T]:
        while True:
            if not own:
                try:
                    item = next(source)
                except StopIteration:
                    return
                for queue in waiting:
                    queue.append(item)
            yield own.popleft()

    return [each(own) for own in waiting]
