"""The cache of portraits."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from model.animation.animator import PreparedFace
from worker.workbench import PortraitCache, PreparedPortrait


class Prepares:
    """Models that make 4 MB of tensors and arrays of a face, one of them twice seen."""

    def __init__(self) -> None:
        self.animator = self

    def prepare(self, face: Any) -> PreparedFace:
        source = torch.zeros(1 << 19)  # 2 MB
        state: Any = SimpleNamespace(source=source, part=source[100:], stem=np.zeros(1 << 20, np.uint8))
        return PreparedFace(face, state, heads=(np.zeros(1 << 20, np.uint8),))  # type: ignore[arg-type]


def portrait(megabytes: int) -> PreparedPortrait:
    face: Any = SimpleNamespace(confidence=0.5)
    return PreparedPortrait(np.zeros((megabytes, 1 << 10, 1 << 10), np.uint8), face, Prepares())  # type: ignore[arg-type]


def test_the_portrait_not_used_for_longest_makes_room() -> None:
    cache = PortraitCache(limit=10 << 20)
    first, second, third = (portrait(4) for _ in range(3))
    cache.put(("me", "first", 0), first)
    cache.put(("me", "second", 0), second)
    assert cache.get(("me", "first", 0)) is first
    cache.put(("me", "third", 0), third)
    assert cache.get(("me", "second", 0)) is None
    assert (cache.get(("me", "first", 0)), cache.get(("me", "third", 0))) == (first, third)
    assert cache.get(("me", "first", 1)) is None
    assert cache.get(("another", "first", 0)) is None


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = PortraitCache(limit=10 << 20)
    cache.put(("me", "small", 0), portrait(1))
    cache.put(("me", "large", 0), portrait(11))
    assert cache.get(("me", "large", 0)) is None
    assert cache.get(("me", "small", 0)) is not None


def test_what_is_made_of_a_portrait_counts_once_it_is_made() -> None:
    cache = PortraitCache(limit=10 << 20)
    first, second = portrait(4), portrait(4)
    cache.put(("me", "first", 0), first)
    cache.put(("me", "second", 0), second)
    assert second.bytes == 4 << 20
    assert second.prepared is second.prepared
    assert second.bytes == 8 << 20, "memory that two tensors share is counted once"
    assert cache.get(("me", "second", 0)) is second
    assert cache.get(("me", "first", 0)) is None
    cache.put(("me", "second", 0), third := portrait(1))
    cache.put(("me", "first", 0), first)
    assert cache.get(("me", "second", 0)) is third, "what it replaced is not counted any more"
