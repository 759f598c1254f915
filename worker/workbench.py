"""What a job is done with: models, limits, portraits seen before, and the stopwatches of its stages."""

import secrets
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from jobs.credentials import ContentCredentials
from model.animation.animator import PreparedFace
from model.arrays import Pixels
from model.extractor import Extraction
from worker.models import Models
from worker.settings import WorkerSettings
from worker.stages import Stages

PORTRAIT_CACHE_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class PreparedPortrait:
    """A decoded photo, uint8 (H, W, 3), and the face found in it."""

    photo: Pixels
    face: Extraction
    models: Models

    @cached_property
    def prepared(self) -> PreparedFace:
        """What the renderer makes once of the face, when its first picture is asked for."""
        return self.models.animator.prepare(self.face)

    @property
    def bytes(self) -> int:
        """Of all arrays and tensors that are held so far; on a GPU those of its memory count as well."""
        held = (self.photo, self.face, self.__dict__.get("prepared"))
        return sum(dict(_blocks(held)).values())


def _blocks(held: object) -> Iterator[tuple[int, int]]:
    """Where each block of memory that something holds begins, and its bytes: parts may share one."""
    match held:
        case torch.Tensor():
            storage = held.untyped_storage()
            yield storage.data_ptr(), storage.nbytes()
        case np.ndarray():
            yield held.__array_interface__["data"][0], held.nbytes
        case tuple():
            for part in held:
                yield from _blocks(part)
        case _:
            yield from _blocks(tuple(getattr(held, "__dict__", {}).values()))


PortraitKey = tuple[str, str, int]  # owner, SHA-256 of the file, index of the face


class PortraitCache:
    """The portraits used last, so that the next job with the same photo makes nothing anew that it alone decides.

    Holds `limit` bytes at most; the one not used for longest goes first. They grow when they are prepared, which counts
    from when the cache is asked next. Each owner has their own: how long a job took would else tell whether somebody
    has the same photo. One thread at a time may ask, as a process does one job at a time.
    """

    def __init__(self, limit: int = PORTRAIT_CACHE_BYTES) -> None:
        self._limit = limit
        self._portraits: OrderedDict[PortraitKey, PreparedPortrait] = OrderedDict()

    def get(self, key: PortraitKey) -> PreparedPortrait | None:
        """A portrait kept under `key`."""
        portrait = self._portraits.get(key)
        if portrait is not None:
            self.put(key, portrait)
        return portrait

    def put(self, key: PortraitKey, portrait: PreparedPortrait) -> None:
        """Keep a portrait in place of what was kept under `key`, unless it alone is larger than the limit."""
        self._portraits.pop(key, None)
        if portrait.bytes <= self._limit:
            self._portraits[key] = portrait
        while sum(each.bytes for each in self._portraits.values()) > self._limit:
            self._portraits.popitem(last=False)


@dataclass(frozen=True)
class Workbench:
    """Models, settings, portraits and credentials live as long as the process, all else as the job.

    `digests` are the SHA-256 of files that are known already; `seed` is that of a job that names none.
    """

    models: Models
    settings: WorkerSettings
    stages: Stages = field(default_factory=Stages)
    portraits: PortraitCache = field(default_factory=PortraitCache)
    credentials: ContentCredentials | None = None
    owner: str = ""
    digests: dict[Path, str] = field(default_factory=dict)
    seed: int = field(default_factory=lambda: secrets.randbits(32))
