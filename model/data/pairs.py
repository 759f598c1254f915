"""Pairs out of a corpus folder's clips and photos: what landmarks and the morphable model say goes with them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from model.data.batch import WINDOW, WINDOW_RADIUS, Batch, to_tensor, window_of
from model.data.clips import Clip, ClipStore, People
from model.data.corpus import spread
from model.data.warp_back import LARGEST_YAW, Picture, chances, load_photos, moved_away, moved_motion
from model.face.crop import CROP_UNITS
from model.face.topology import EYES, INNER_LIPS, MOUTH
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES, MOTION, MOTION_SPACE
from model.renderer.prior.prior import Prior

OPENING_WEIGHTS = np.array([1.0, 2.0])  # their usual ranges are about 0.3 and 0.15
REGION_WIDTH = 7.0  # crop units: how far the weight of eyes and mouth reaches
GAP_WEIGHT = 3.0  # what a pixel between the lips counts more than one of the lips
PHOTOS = 0.6  # share of the warped-back pictures that are photos, where there are any; the others are frames of clips
SIDEWAYS = 20.0 * np.pi / 180  # of yaw, for pictures by which a run is judged
CANDIDATES = 8  # frames from which the one most different from the first is taken


class PairData:
    """Draws pairs from the stored clips of a corpus split, people alike however many clips they have.

    clips: ids of the clips to draw from; empty is all. warp_back: share of the pairs (0..1) whose truth is known, see
    `model.data.warp_back`, of photos as well unless clips are named; the others are two frames of a clip. augment:
    whether pairs are mirrored, coloured and held still by chance.
    """

    motion_space, dimension, landmarks = MOTION_SPACE, MOTION, True

    def __init__(
        self,
        data: Path,
        cache: Path,
        *,
        split: str,
        frames_per_clip: int,
        clips: Sequence[str] = (),
        warp_back: float = 0.0,
        augment: bool = True,
    ) -> None:
        self.morphable = MorphableModel.load()
        self._prior = Prior.load(self.morphable)
        store = ClipStore(data, cache, self.morphable, split=split, frames_per_clip=frames_per_clip, ids=clips)
        self.images, self.clips, self.sources = store.images, store.clips, store.sources
        self._people = People(self.clips)
        self._augment = augment
        self._data, self._split, self._warp_back = data, split, warp_back
        self._photos = load_photos(data, self.morphable, split=split) if warp_back and not clips else []
        self.sources = sorted({*self.sources, *(photo.repo for photo in self._photos)})
        self._chances = chances(self._photos) if self._photos else np.zeros(0)

    def batch(self, generators: Sequence[np.random.Generator], size: int) -> Batch:
        """See `PairSource.batch`; or two pictures for a generator, each warped back by itself."""
        parts: list[tuple[Tensor, ...]] = []
        for generator in generators:
            if self._warp_back and generator.random() < self._warp_back:
                parts += [self._warped_back(self._picture(generator), size, generator) for _ in range(2)]
                continue
            clip = self.clips[self._people.draw(generator)]
            mirrored = int(self._augment and generator.random() < 0.5)
            first, second = self._far_pair(clip, generator)
            pictures = [self.images[clip.rows.start + row] for row in (first, second)]
            images = torch.stack([to_tensor(picture, size, mirrored=bool(mirrored)) for picture in pictures])
            if self._augment:
                images = recolour(images, generator)
            still = self._augment and generator.random() < 0.3
            for source, target in ((first, second), (second, first)):
                parts.append(
                    (
                        *self._pair(clip, mirrored, source, target, still=still),
                        images[int(source == second)],
                        images[int(target == second)],
                    )
                )
        return self.collate(parts, size)

    def first_to_farthest(self, size: int, *, clips: int) -> Iterator[Batch]:
        """See `PairSource.first_to_farthest`."""
        for clip in spread(self.clips, clips):
            moved = (clip.landmarks[0] - clip.landmarks[0][:1]).abs().mean((1, 2))
            yield self.collate([self.pair(clip, 0, int(moved.argmax()), size)], size)

    def back_from_the_side(self, size: int, *, pictures: int) -> Iterator[Batch]:
        """See `PairSource.back_from_the_side`: photos where there are any, else first frames, by turns to each side."""
        for number, picture in enumerate(spread(self._pictures, pictures)):
            moved = picture.motions[0].clone()
            yaw = float(moved[ANGLES.start])
            turn = SIDEWAYS if number % 2 else -SIDEWAYS
            moved[ANGLES.start] = yaw + (turn if abs(yaw + turn) <= LARGEST_YAW else -turn)
            yield self.collate([self.warped_back(picture, to_tensor(picture.image, size)[None], moved)], size)

    @cached_property
    def _pictures(self) -> Sequence[Picture]:
        photos = self._photos or load_photos(self._data, self.morphable, split=self._split)
        return photos or [Picture.of_clip(clip, self.images[clip.rows.start], 0) for clip in self.clips]

    def pair(self, clip: Clip, source: int, target: int, size: int) -> tuple[Tensor, ...]:
        """One pair for `collate`, nothing changed: rows `source` and `target` of the clip's stored frames."""
        images = [to_tensor(self.images[clip.rows.start + row], size) for row in (source, target)]
        return (*self._pair(clip, 0, source, target, still=False), *images)

    def collate(self, parts: list[tuple[Tensor, ...]], size: int) -> Batch:
        """Stack pairs to a batch."""
        motion, own, source_points, target_points, source, target = map(torch.stack, zip(*parts, strict=True))
        heads = self._prior.heads(source, source_points, own)
        return Batch(
            source=source,
            target=target,
            motion=motion,
            prior=self._prior.guide(heads, target_points, motion[..., WINDOW_RADIUS], size=size).prior,
            region=region_weight(target_points, size),
        )

    def _pair(
        self, clip: Clip, mirrored: int, source: int, target: int, *, still: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The target's window, the source's motion, and the landmarks of both."""
        motions, identity = clip.motions[mirrored], clip.identity[mirrored]
        frame = int(clip.frames[target])
        window = motions[frame].unsqueeze(-1).expand(-1, WINDOW) if still else motions[window_of(frame, len(motions))].T
        source_landmarks = clip.landmarks[mirrored][source]
        own = motions[int(clip.frames[source])]
        return (
            window,
            own,
            source_landmarks,
            self.morphable.move(source_landmarks, identity, own, motions[frame][None])[0],
        )

    @staticmethod
    def _far_pair(clip: Clip, generator: np.random.Generator) -> tuple[int, int]:
        """A random frame and, of some others, the one most different: by turns in all points, or in eyes and mouth."""
        count = len(clip.frames)
        first = int(generator.integers(count))
        others = generator.integers(count, size=CANDIDATES)
        if generator.random() < 0.5:
            distance = (clip.landmarks[0][others] - clip.landmarks[0][first]).abs().mean((1, 2)).numpy()
        else:
            distance = np.abs(clip.openings[others] - clip.openings[first]) @ OPENING_WEIGHTS
        return first, int(others[int(distance.argmax())])

    def _picture(self, generator: np.random.Generator) -> Picture:
        """A photo or a frame of a clip."""
        if self._photos and generator.random() < PHOTOS:
            return self._photos[int(generator.choice(len(self._photos), p=self._chances))]
        clip = self.clips[self._people.draw(generator)]
        number = int(generator.integers(len(clip.frames)))
        return Picture.of_clip(clip, self.images[clip.rows.start + number], number)

    def _warped_back(self, picture: Picture, size: int, generator: np.random.Generator) -> tuple[Tensor, ...]:
        mirrored = int(self._augment and generator.random() < 0.5)
        others = [self.clips[self._people.draw(generator)] for _ in range(4)]
        frames = torch.stack([clip.motions[0][int(generator.integers(len(clip.motions[0])))] for clip in others])
        moved = moved_motion(picture, mirrored, frames, self.morphable, generator)
        target = to_tensor(picture.image, size, mirrored=bool(mirrored))[None]
        if self._augment:
            target = recolour(target, generator)
        return self.warped_back(picture, target, moved, mirrored=mirrored)

    def warped_back(self, picture: Picture, target: Tensor, moved: Tensor, *, mirrored: int = 0) -> tuple[Tensor, ...]:
        """A pair for `collate` that leads from the picture in the motion `moved` (70,) back to the picture.

        target (1, 3, S, S) in [-1, 1] is the picture, or its mirror image.
        """
        points, own = picture.landmarks[mirrored], picture.motions[mirrored]
        identity = picture.identities[mirrored]
        source, source_points = moved_away(
            target, points, identity, own=own, moved=moved, morphable=self.morphable, prior=self._prior
        )
        return own.unsqueeze(-1).expand(-1, WINDOW), moved, source_points, points, source[0], target[0]


def region_weight(landmarks: Tensor, size: int) -> Tensor:
    """Weight map (B, 1, size, size): 0..1 near eyes and mouth of landmarks (B, 478, 3), GAP_WEIGHT more inside it."""
    points = landmarks[:, [*EYES, *MOUTH], :2] * (size / CROP_UNITS)
    width = REGION_WIDTH * size / CROP_UNITS
    centres = torch.arange(size) + 0.5
    column = torch.exp(-0.5 * ((points[..., 0, None] - centres) / width).square())
    row = torch.exp(-0.5 * ((points[..., 1, None] - centres) / width).square())
    weight = torch.einsum("bnh,bnw->bhw", row, column).clamp(max=1.0).unsqueeze(1)
    for one, outline in zip(weight, landmarks[:, INNER_LIPS, :2].numpy() * (size / CROP_UNITS), strict=True):
        gap = np.zeros((size, size), np.float32)
        cv2.fillPoly(gap, [np.rint((outline - 0.5) * 16).astype(np.int32)], GAP_WEIGHT, lineType=cv2.LINE_AA, shift=4)
        one[0] += torch.from_numpy(gap)
    return weight


def recolour(images: Tensor, generator: np.random.Generator) -> Tensor:
    """The same gain, offset and gamma per channel on all images of a pair."""
    gain = torch.from_numpy(generator.uniform(0.85, 1.15, (1, 3, 1, 1)).astype(np.float32))
    offset = torch.from_numpy(generator.uniform(-0.1, 0.1, (1, 3, 1, 1)).astype(np.float32))
    gamma = float(generator.uniform(0.8, 1.25))
    return (((images + 1.0) / 2.0).pow(gamma) * 2.0 - 1.0).mul(gain).add(offset).clamp(-1.0, 1.0)
