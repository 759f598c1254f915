"""What a job is done with: models, limits, portraits seen before, and the stopwatches of its stages."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from jobs.credentials import ContentCredentials
from model.arrays import Pixels
from model.extractor import Extraction
from worker.models import Models
from worker.settings import WorkerSettings
from worker.stages import Stages

PORTRAIT_CACHE_BYTES = 256 << 20


@dataclass(frozen=True)
class PreparedPortrait:
    """A decoded photo, uint8 (H, W, 3), and the face found in it."""

    photo: Pixels
    face: Extraction


PortraitKey = tuple[str, str, int]  # owner, SHA-256 of the file, index of the face


class PortraitCache:
    """The portraits used last, so that the next pose of the same photo needs neither decoding nor face finding.

    Holds `limit` bytes of photos at most; the one not used for longest goes first. Each owner has their own: how long a
    job took would else tell whether somebody has the same photo.
    """

    def __init__(self, limit: int = PORTRAIT_CACHE_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._portraits: OrderedDict[PortraitKey, PreparedPortrait] = OrderedDict()

    def get(self, key: PortraitKey) -> PreparedPortrait | None:
        """A portrait kept under `key`."""
        portrait = self._portraits.get(key)
        if portrait is not None:
            self._portraits.move_to_end(key)
        return portrait

    def put(self, key: PortraitKey, portrait: PreparedPortrait) -> None:
        """Keep a portrait, unless it alone is larger than the limit."""
        if portrait.photo.nbytes > self._limit or key in self._portraits:
            return
        self._portraits[key] = portrait
        self._bytes += portrait.photo.nbytes
        while self._bytes > self._limit:
            _, oldest = self._portraits.popitem(last=False)
            self._bytes -= oldest.photo.nbytes


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
