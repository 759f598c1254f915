"""Pairs out of an LMDB in the layout of the paper's authors: coefficients of the Basel Face Model, and no landmarks.

    train_list.txt, test_list.txt   a video's NAME a line; its person is what stands before the first '#'
    data.mdb                        beside the lists, or in a folder named by the pictures' size, such as 256
        NAME-length                 number of frames, in digits
        NAME-0000000, -0000001 ...  frames as JPEG (or PNG), square
        NAME-coeff_3dmm             float32, frames x 260: 257 coefficients, then scale, x and y of the alignment

Nothing is kept in memory: the file is mapped, and each frame is decoded when a pair needs it.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

import lmdb
import numpy as np
import structlog
import torch
from PIL import Image
from torch import Tensor

from model.arrays import Floats, Pixels
from model.data.batch import Batch, to_tensor, window_of
from model.data.clips import People
from model.data.corpus import spread
from model.errors import DataError
from model.extractor.deep3d.coefficients import DIMENSION, LMDB_ROW, MOTION_SPACE, motion_of_lmdb, unlike

log = structlog.get_logger(__name__)

LISTS = {"train": "train_list.txt", "val": "test_list.txt"}
SIDES = range(64, 1025)  # pixels of a frame that are allowed
TRIES = 20  # pairs drawn in place of one that cannot be read


@dataclass(frozen=True)
class Video:
    """One video of the list; none is generated."""

    name: str
    person: str
    frames: int
    generated: bool = False


class UnreadableError(DataError):
    """A record is missing or damaged."""


def is_lmdb(data: Path) -> bool:
    """Whether a folder has the layout above, by its lists."""
    return any((data / name).is_file() for name in LISTS.values())


class Records:
    """The LMDB of a folder, read only."""

    # LMDB locks up when a process opens a file twice; train and test lists share one.
    _opened: ClassVar[WeakValueDictionary[Path, "Records"]] = WeakValueDictionary()

    def __init__(self, folder: Path) -> None:
        try:
            self.environment = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, max_readers=64)
        except lmdb.Error as error:
            raise DataError(f"{folder / 'data.mdb'} is not a readable LMDB: {error}") from error

    def __del__(self) -> None:
        if hasattr(self, "environment"):
            self.environment.close()

    @classmethod
    def of(cls, data: Path) -> "Records":
        """Those of a data set, opened once in a process.

        Raises DataError: there is not one LMDB in it, or it is damaged.
        """
        folders = [data, *sorted(path for path in data.iterdir() if path.name.isdigit())]
        found = [folder.resolve() for folder in folders if (folder / "data.mdb").is_file()]
        if len(found) != 1:
            raise DataError(
                f"{data} has {len(found)} LMDBs; allowed is one data.mdb, beside the lists or in a folder named by "
                "its size"
            )
        records = cls._opened.get(found[0])
        if records is None:
            records = cls._opened[found[0]] = cls(found[0])
        return records

    def read(self, name: str) -> bytes:
        """One record. Raises UnreadableError where there is none."""
        with self.environment.begin() as transaction:
            content: bytes | None = transaction.get(name.encode())
        if content is None:
            raise UnreadableError(f"there is no record {name}")
        return content

    def length(self, name: str) -> int | None:
        """Bytes of a record, which is not read for it; None where there is none."""
        with self.environment.begin(buffers=True) as transaction:
            content = transaction.get(name.encode())
            return None if content is None else len(content)


class LmdbPairs:
    """Draws pairs of the paper's recipe from one split: a person, one of the videos, two of its frames, all by chance.

    People come alike often. The pictures are not changed, since nothing says how the mirror image's coefficients would
    be. Records that are damaged are passed over, and the log names them.
    """

    motion_space, dimension, landmarks = MOTION_SPACE, DIMENSION, False

    def __init__(self, data: Path, *, split: str, clips: Sequence[str] = ()) -> None:
        """`clips`: names of the videos to draw from; empty is all.

        Raises DataError: the folder is not laid out as above, or none of the split's videos is whole.
        """
        self._records = Records.of(data)
        self.videos = self._whole(_listed(data / LISTS[split], clips))
        if not self.videos:
            raise DataError(f"no video of {data / LISTS[split]} has its frames and coefficients in the LMDB")
        self._people = People(self.videos)
        people = len({video.person for video in self.videos})
        self.sources = [f"LMDB {data.resolve().name}: {len(self.videos)} videos of {people} people"]
        log.info("videos ready", split=split, videos=len(self.videos), people=people)

    def batch(self, generators: Sequence[np.random.Generator], size: int) -> Batch:
        """See `PairSource.batch`."""
        return _collate([part for generator in generators for part in self._draw(generator, size)])

    def first_to_farthest(self, size: int, *, clips: int) -> Iterator[Batch]:
        """See `PairSource.first_to_farthest`; how far is told by expression and angles.

        Raises DataError: no pair of them could be read.
        """
        read = 0
        for video in spread(self.videos, clips):
            try:
                motions = self._motions(video)
                target = int(unlike(motions, motions[0]).argmax())
                pair = self._pair(video, motions, 0, target, size)
            except UnreadableError as error:
                log.warning("video passed over", reason=str(error))
                continue
            read += 1
            yield _collate([pair])
        if not read:
            raise DataError("none of the held-out pairs could be read; the log names their records")

    def back_from_the_side(self, size: int, *, pictures: int) -> Iterator[Batch]:
        """None: there are no landmarks to turn a picture by."""
        return iter(())

    def _draw(self, generator: np.random.Generator, size: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Two frames of one person, in both directions."""
        for _ in range(TRIES):
            video = self.videos[self._people.draw(generator)]
            first, second = (int(frame) for frame in generator.integers(video.frames, size=2))
            try:
                motions = self._motions(video)
                return [self._pair(video, motions, *order, size) for order in ((first, second), (second, first))]
            except UnreadableError as error:
                log.warning("pair passed over", reason=str(error))
        raise DataError(f"{TRIES} pairs one after the other could not be read; the log names their records")

    def _pair(
        self, video: Video, motions: Floats, source: int, target: int, size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        window = motions[window_of(target, len(motions))].T
        pictures = [to_tensor(self._picture(video, frame), size) for frame in (source, target)]
        return pictures[0], pictures[1], torch.from_numpy(np.ascontiguousarray(window))

    def _motions(self, video: Video) -> Floats:
        """The video's motions (T, 73)."""
        record = self._records.read(f"{video.name}-coeff_3dmm")
        motions = motion_of_lmdb(np.frombuffer(record, np.float32).reshape(video.frames, LMDB_ROW))
        if not np.isfinite(motions).all():
            raise UnreadableError(f"{video.name}-coeff_3dmm holds NaN or infinity; allowed are finite numbers")
        return motions

    def _picture(self, video: Video, frame: int) -> Pixels:
        """A frame (S, S, 3), RGB."""
        name = f"{video.name}-{frame:07d}"
        try:
            with Image.open(io.BytesIO(self._records.read(name)), formats=("JPEG", "PNG")) as image:
                width, height = image.size  # from the header, before anything is decoded
                if width != height or width not in SIDES:
                    allowed = f"squares of {SIDES.start} to {SIDES.stop - 1}"
                    raise UnreadableError(f"{name} has {width}x{height} pixels; allowed are {allowed}")
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableError(f"{name} is no whole JPEG or PNG: {error}") from error

    def _whole(self, names: list[str]) -> list[Video]:
        """The videos whose length and coefficients are there and fit each other."""
        videos = []
        for name in names:
            try:
                length = self._records.read(f"{name}-length")
            except UnreadableError:
                length = b""
            frames = int(length) if length.isdigit() else 0
            rows, row = self._records.length(f"{name}-coeff_3dmm"), LMDB_ROW * np.dtype(np.float32).itemsize
            if frames and rows == frames * row:
                videos.append(Video(name, name.split("#")[0], frames))
            else:
                log.warning("video passed over", video=name, frames=frames, coefficient_bytes=rows, row_bytes=row)
        return videos


def _listed(path: Path, chosen: Sequence[str]) -> list[str]:
    if not path.is_file():
        raise DataError(f"no {path.name} in {path.parent}; it lists the videos of that split, a name a line")
    lines = path.read_text(encoding="utf-8").splitlines()
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if unknown := sorted(set(chosen) - set(names)):
        raise DataError(f"no videos {', '.join(unknown)} in {path}; allowed are names that it lists")
    return [name for name in names if not chosen or name in chosen]


def _collate(parts: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Batch:
    source, target, motion = map(torch.stack, zip(*parts, strict=True))
    return Batch(source, target, motion)
