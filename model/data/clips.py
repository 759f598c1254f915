"""Frames of a corpus split in one memory-mapped file, and what the morphable model says of every clip."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import structlog
import torch
from torch import Tensor
from tqdm import tqdm

from model.arrays import Array, Landmarks
from model.data.corpus import CORPUS_SIZE, Item, read_corpus
from model.errors import DataError
from model.face.crop import CROP_UNITS
from model.face.topology import mirror_permutation
from model.files import written
from model.morphable import MorphableModel

log = structlog.get_logger(__name__)

GENERATED_WEIGHT = 0.4  # chance of a generated person relative to a real one
SMALLEST_SHARP_FACE = 125  # pixels in the source; smaller ones are too soft to teach a renderer


@dataclass(frozen=True)
class Clip:
    """One clip's stored frames and its motion at every frame, as it is and mirrored (index 0 and 1)."""

    person: str
    generated: bool
    rows: slice  # of the store's images
    frames: Array  # (n,) frame numbers of the stored pictures
    landmarks: tuple[Tensor, Tensor]  # (n, 478, 3) in crop units
    openings: Array  # (n, 2) eyes and mouth, see `openings`
    motions: tuple[Tensor, Tensor]  # (T, 70)
    identity: tuple[Tensor, Tensor]  # (1, 80)


class ClipStore:
    """`frames_per_clip` pictures (S, S, 3) of each clip, spread over it, in `images`, and the `clips` themselves.

    The first use decodes the videos and fits the morphable model; both are kept in the folder `cache`. With `ids` the
    clips are those alone.

    Raises DataError: the folder is no corpus, or has no such clip.
    """

    def __init__(
        self,
        data: Path,
        cache: Path,
        morphable: MorphableModel,
        *,
        split: str,
        frames_per_clip: int,
        ids: Sequence[str] = (),
    ) -> None:
        items = [item for item in read_corpus(data, split=split, kind="clip") if item.face_px >= SMALLEST_SHARP_FACE]
        if unknown := sorted(set(ids) - {item.id for item in items}):
            raise DataError(
                f"no clips {', '.join(unknown)} in {data}; allowed are ids of its {split} split with faces of "
                f"{SMALLEST_SHARP_FACE} pixels and more"
            )
        items = [item for item in items if not ids or item.id in ids]
        self.sources = sorted({item.repo for item in items})
        cache.mkdir(parents=True, exist_ok=True)
        points = [torch.from_numpy(item.landmarks()) for item in items]
        chosen = [choose_frames(landmarks.numpy(), frames_per_clip) for landmarks in points]
        name = f"{split}-{frames_per_clip}"
        if ids:
            name += "-" + hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:12]
        if not (cache / f"{name}.npy").is_file():
            _decode(items, chosen, cache / f"{name}.npy")
        self.images = np.load(cache / f"{name}.npy", mmap_mode="r")
        permutation = mirror_permutation(morphable.mean.numpy())
        both = [(landmarks, mirror_landmarks(landmarks, permutation)) for landmarks in points]
        fits = cache / f"{name}-fits.pt"
        if not fits.is_file():
            _fit(morphable, both, fits)
        self.clips: list[Clip] = []
        start = 0
        for item, frames, sides, fit in zip(items, chosen, both, torch.load(fits, weights_only=True), strict=True):
            self.clips.append(
                Clip(
                    person=item.person,
                    generated=item.generated,
                    rows=slice(start, start + len(frames)),
                    frames=frames,
                    landmarks=(sides[0][frames], sides[1][frames]),
                    openings=openings(sides[0][frames].numpy()),
                    motions=(fit[0][1], fit[1][1]),
                    identity=(fit[0][0][:1], fit[1][0][:1]),
                )
            )
            start += len(frames)
        log.info("clips ready", split=split, clips=len(self.clips), frames=start)


class Owned(Protocol):
    """What tells whose a clip is."""

    @property
    def person(self) -> str:
        """Name of the person."""

    @property
    def generated(self) -> bool:
        """Whether the picture is no real person's."""


class People:
    """Draws clips so that people come alike often however many clips they have, generated ones less."""

    def __init__(self, clips: Sequence[Owned]) -> None:
        owned: dict[str, list[int]] = {}
        for number, clip in enumerate(clips):
            owned.setdefault(clip.person, []).append(number)
        self._clips = list(owned.values())
        weights = [GENERATED_WEIGHT if all(clips[n].generated for n in numbers) else 1.0 for numbers in self._clips]
        self._chance = np.array(weights) / np.sum(weights)

    def draw(self, generator: np.random.Generator) -> int:
        """The number of a clip."""
        numbers = self._clips[generator.choice(len(self._clips), p=self._chance)]
        return int(numbers[generator.integers(len(numbers))])


def openings(landmarks: Landmarks) -> Array:
    """How far eyes and mouth are open (T, 2) of landmarks (T, 478, 3), as shares of the eyes' width and face height."""

    def gap(a: int, b: int) -> Array:
        return np.linalg.norm(landmarks[:, a, :2] - landmarks[:, b, :2], axis=1)

    eyes = (gap(159, 145) + gap(386, 374)) / (gap(33, 133) + gap(263, 362))
    return np.stack([eyes, gap(13, 14) / gap(10, 152)], 1)


def choose_frames(landmarks: Landmarks, count: int) -> Array:
    """Frame numbers, at most `count`: most spread evenly, a quarter of them the most closed eyes and most open mouths.

    Blinks are a few frames in a hundred; a network that hardly ever sees one does not learn to blink.
    """
    frames = len(landmarks)
    extremes = count // 8
    eyes, mouth = openings(landmarks).T
    picked = [np.argsort(eyes, kind="stable")[:extremes], np.argsort(-mouth, kind="stable")[:extremes]]
    spread = np.linspace(0, frames - 1, min(frames, count - 2 * extremes)).astype(int)
    return np.unique(np.concatenate([spread, *picked]))


def mirror_landmarks(landmarks: Tensor, permutation: Array) -> Tensor:
    """Landmarks (T, 478, 3) of the mirrored pictures, in crop units."""
    mirrored = landmarks[:, permutation].clone()
    mirrored[..., 0] = CROP_UNITS - mirrored[..., 0]
    return mirrored


def _fit(morphable: MorphableModel, clips: list[tuple[Tensor, Tensor]], path: Path) -> None:
    fits = [[tuple(morphable.fit_clip(side)[:2]) for side in sides] for sides in tqdm(clips, desc="fitting")]
    with written(path) as temporary:
        torch.save(fits, temporary)


def _decode(items: list[Item], chosen: list[Array], path: Path) -> None:
    total = sum(len(frames) for frames in chosen)
    with written(path) as temporary:
        images = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.uint8, shape=(total, CORPUS_SIZE, CORPUS_SIZE, 3)
        )
        row = 0
        for item, frames in zip(tqdm(items, desc="decoding", mininterval=5.0), chosen, strict=True):
            for image in item.read_frames(frames.tolist()):
                images[row] = image
                row += 1
        images.flush()
