"""Views of one person for training what follows a head: a picture, and others of the same clip."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from model.data.batch import to_tensor
from model.data.clips import Clip, ClipStore, People
from model.data.corpus import CORPUS_SIZE
from model.data.pairs import recolour
from model.face.crop import CROP_UNITS
from model.morphable import MorphableModel
from model.morphable.basis import HALF_CROP, LOG_SCALE, OFFSET

CANDIDATES = 10  # frames from which the targets are taken
TARGETS = (0, 1, 4)  # of the candidates, by how far they are from the source
LARGEST_ZOOM = 1.2


@dataclass(frozen=True)
class Views:
    """B portraits and K pictures of each in other motions.

    source (B, 3, S, S) and targets (B, K, 3, S, S) in [-1, 1]; landmarks (B, 478, 3) and motion (B, 70) of the source;
    target_landmarks (B, K, 478, 3), to where the change of motion moves them, and motions (B, K, 70).
    """

    source: Tensor
    targets: Tensor
    landmarks: Tensor
    motion: Tensor
    target_landmarks: Tensor
    motions: Tensor


class ViewData:
    """Draws views from the stored clips of a corpus split, people alike however many clips they have."""

    def __init__(self, data: Path, cache: Path, *, split: str, frames_per_clip: int, size: int) -> None:
        self.morphable = MorphableModel.load()
        self._size = size
        self._store = ClipStore(data, cache, self.morphable, split=split, frames_per_clip=frames_per_clip)
        self._people = People(self._store.clips)
        self.clips, self.sources = self._store.clips, self._store.sources

    def batch(self, generators: list[np.random.Generator]) -> Views:
        """One portrait for each generator: a random frame of a random clip, mirrored, zoomed and coloured by chance."""
        return _stack([self._draw(self.clips[self._people.draw(generator)], generator) for generator in generators])

    def first_to_others(self, clip: Clip) -> Views:
        """A clip's first stored frame and all its others, nothing changed."""
        rows = range(len(clip.frames))
        return _stack([self._views(clip, 0, 0, list(rows[1:]), window=(0, 0, CORPUS_SIZE))])

    def _draw(self, clip: Clip, generator: np.random.Generator) -> Views:
        count = len(clip.frames)
        source, others = int(generator.integers(count)), generator.integers(count, size=CANDIDATES)
        distance = (clip.landmarks[0][others] - clip.landmarks[0][source]).abs().mean((1, 2)).numpy()
        targets = others[np.argsort(-distance, kind="stable")[list(TARGETS)]].tolist()
        side = round(CORPUS_SIZE / generator.uniform(1, LARGEST_ZOOM))
        left, top = (int(offset) for offset in generator.integers(CORPUS_SIZE - side + 1, size=2))
        views = self._views(clip, int(generator.random() < 0.5), source, targets, window=(left, top, side))
        coloured = recolour(torch.cat([views.source[None], views.targets]), generator)
        return Views(coloured[0], coloured[1:], *_geometry(views))

    def _views(
        self, clip: Clip, mirrored: int, source: int, targets: list[int], *, window: tuple[int, int, int]
    ) -> Views:
        """Views of one clip (without B), as seen in a window (left, top, side) of the crop."""
        motions, landmarks = clip.motions[mirrored], clip.landmarks[mirrored][source]
        own, wanted = motions[int(clip.frames[source])], motions[torch.from_numpy(clip.frames[targets]).long()]
        moved = self.morphable.move(landmarks, clip.identity[mirrored], own, wanted)
        left, top, side = window
        pictures = []
        for row in (source, *targets):
            picture = self._store.images[clip.rows.start + row]
            picture = (picture[:, ::-1] if mirrored else picture)[top : top + side, left : left + side]
            shrunk = cv2.resize(np.ascontiguousarray(picture), (self._size, self._size), interpolation=cv2.INTER_AREA)
            pictures.append(to_tensor(shrunk, self._size))
        return Views(
            pictures[0],
            torch.stack(pictures[1:]),
            _points_seen(landmarks, window),
            _motion_seen(own, window),
            _points_seen(moved, window),
            _motion_seen(wanted, window),
        )


def _points_seen(points: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Points (..., 3) in crop units as they lie in a window that is enlarged to the whole crop."""
    left, top, side = window
    return (points - points.new_tensor([left, top, 0])) * (CROP_UNITS / side)


def _motion_seen(motion: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Motions (..., 70) of the crop as seen in such a window."""
    left, top, side = window
    zoom = CROP_UNITS / side
    seen = motion.clone()
    seen[..., LOG_SCALE] += float(np.log(zoom))
    offset = (motion[..., OFFSET] + 1) * HALF_CROP - motion.new_tensor([left, top])
    seen[..., OFFSET] = offset * zoom / HALF_CROP - 1
    return seen


def _geometry(views: Views) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return views.landmarks, views.motion, views.target_landmarks, views.motions


def _stack(views: list[Views]) -> Views:
    return Views(
        torch.stack([view.source for view in views]),
        torch.stack([view.targets for view in views]),
        *(torch.stack(parts) for parts in zip(*(_geometry(view) for view in views), strict=True)),
    )
