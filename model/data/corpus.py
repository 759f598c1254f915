"""A corpus folder: index.csv, clips/ID.mp4, stills/ID.jpg, and landmarks in ID.npz beside each.

index.csv   id, kind (clip | still), split (train | val), person, frames, ..., audio, generated, face_px, ..., sync
ID.npz      first (478, 3) int16, delta (T-1, 478, 3): landmarks in quarter crop units, by differences

A speech folder has sound and landmarks alone: no column `kind`, clips/ID.ogg, and columns `speaker` (may be empty),
`source` and `lag` (frames by which lips come after the sound).
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import av
import cv2
import numpy as np

from model.arrays import Array, Landmarks
from model.errors import DataError

CORPUS_SIZE = 256  # side of its pictures in pixels

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """One clip or still of a corpus, or clip of a speech folder.

    `person` is empty where the index does not say. `source` is the data set it comes from, the folder's name where the
    index does not say; `path` is its file in `repo`, empty where the index does not say.
    """

    id: str
    kind: str
    split: str
    person: str
    source: str
    lag: int
    pictures: bool
    frames: int
    audio: bool
    generated: bool
    face_px: int
    sync: float | None
    licence: str
    repo: str
    path: str
    root: Path

    @property
    def media(self) -> Path:
        """The MP4, Ogg or JPEG file."""
        if self.kind == "still":
            return self.root / "stills" / f"{self.id}.jpg"
        return self.root / "clips" / f"{self.id}{'.mp4' if self.pictures else '.ogg'}"

    def landmarks(self) -> Landmarks:
        """Landmarks (T, 478, 3) float32 in crop units, z towards the camera negative."""
        with np.load(self.media.with_suffix(".npz"), allow_pickle=False) as stored:
            first, delta = stored["first"].astype(np.int32), stored["delta"].astype(np.int32)
        return (np.cumsum(np.concatenate([first[None], delta.reshape(-1, *first.shape)]), axis=0) / 4.0).astype(
            np.float32
        )

    def read_frames(self, indices: Sequence[int]) -> Iterator[Array]:
        """RGB frames (S, S, 3) uint8 of the ascending `indices`, decoding once from the start.

        Raises DataError: the clip is of a speech folder, which has no pictures, or its picture cannot be read.
        """
        if not self.pictures:
            raise DataError(
                f"{self.root} has sound and landmarks without pictures; only audio models use such a folder"
            )
        if self.kind == "still":
            image = cv2.imread(str(self.media))
            if image is None:
                raise DataError(f"{self.media} is not a readable image")
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            return
        wanted = iter(indices)
        target = next(wanted, None)
        with av.open(str(self.media)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if target is None:
                    return
                if number == target:
                    yield frame.to_ndarray(format="rgb24")
                    target = next(wanted, None)


def _item(row: Mapping[str, str], root: Path) -> Item:
    """An item of a row of the index, of a corpus or, where there is no column `kind`, of a speech folder.

    Raises KeyError: a column is missing. Raises ValueError: a value is no number.
    """
    pictures = "kind" in row
    return Item(
        id=row["id"],
        kind=row["kind"] if pictures else "clip",
        split=row["split"],
        person=row["person"] if pictures else row["speaker"],
        source=root.name if pictures else row["source"],
        lag=0 if pictures else _number("lag", row["lag"]),
        pictures=pictures,
        frames=_number("frames", row["frames"]),
        audio=row["audio"] == "1" if pictures else True,
        generated=pictures and row["generated"] == "1",
        face_px=_number("face_px", row["face_px"]),
        sync=_share("sync", row["sync"]),
        licence=row["licence"],
        repo=row["repo"],
        path=row.get("path", ""),
        root=root,
    )


def _number(name: str, value: str) -> int:
    """A whole number, 0 where nothing is said. Raises ValueError: it is none."""
    try:
        return int(value or 0)
    except ValueError:
        raise ValueError(f"{name} is {value!r}; a whole number is allowed") from None


def _share(name: str, value: str) -> float | None:
    """A finite number, None where nothing is said. Raises ValueError: it is none."""
    try:
        number = float(value) if value else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}; a number is allowed, or nothing")
    return number


def read_corpus(root: Path, *, split: str | None = None, kind: str | None = None) -> list[Item]:
    """Items of a corpus folder, in the index's order.

    Raises DataError: there is no index.csv, it lacks a column or has a value that is none, or nothing in it fits.
    """
    index = root / "index.csv"
    if not index.is_file():
        raise DataError(f"no index.csv in {root}; --data takes a corpus folder as docs/training.md describes")
    items = []
    with index.open(newline="", encoding="utf-8") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            try:
                items.append(_item(row, root))
            except KeyError as error:
                raise DataError(f"{index} has no column {error.args[0]!r}; docs/training.md lists them") from error
            except ValueError as error:
                raise DataError(f"{index}, line {number}: {error}") from error
    kept = [item for item in items if split in (None, item.split) and kind in (None, item.kind)]
    if not kept:
        raise DataError(f"{index} has no {split or ''} {kind or 'item'}")
    return kept


def in_step(frames: int, lag: int) -> tuple[slice, slice]:
    """Which of a clip's frames of landmarks, and which of its sound, belong together: as many of each.

    `frames` is how many there are of either, `lag` by how many lips come after the sound.
    """
    return slice(max(lag, 0), frames + min(lag, 0)), slice(max(-lag, 0), frames - max(lag, 0))


def spread(items: Sequence[T], most: int | None) -> Sequence[T]:
    """At most `most` of the items, evenly spread over them; all when None."""
    step = 1 if most is None else max(1, len(items) // most)
    return items[::step][:most]
