"""The cache of portraits."""

import numpy as np

from worker.workbench import PortraitCache, PreparedPortrait


def portrait(megabytes: int) -> PreparedPortrait:
    return PreparedPortrait(np.zeros((megabytes, 1 << 10, 1 << 10), np.uint8), None)  # type: ignore[arg-type]


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
