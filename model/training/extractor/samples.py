"""Training samples: windows on faces, near faces, beside faces and on no faces, with what the network should say."""

import math
from typing import NamedTuple

import cv2
import numpy as np

from model.arrays import Array, Frames, Landmarks, Pixels
from model.data.camera import distort, occlude, texture
from model.data.face_frames import FrameStore
from model.extractor.linear_face import face_pose, face_window
from model.extractor.window import Window, warp


class WindowBatch(NamedTuple):
    """Windows with their labels, in window units."""

    images: Frames  # (B, 3, S, S) uint8
    landmarks: Landmarks  # (B, 478, 3) float32; arbitrary where `presence` is 0
    pose: Array  # (B, 4) float32: x, y, log_scale, angle of the similarity from the reference to them
    presence: Array  # (B,) float32, 0..1


def presence_of(pose: Array, visible: Array | float = 1.0) -> Array:
    """How far a window shows a whole, roughly centred face, 0..1: from its pose (..., 4) and the share in the picture.

    1 within 0.3 half sides of the middle, a factor 1.35 of the right size and 50 degrees of upright; 0 from 0.9 half
    sides, a factor 2.6 or 90 degrees on; the worst of them counts.
    """
    off_centre = _ramp(np.hypot(pose[..., 0], pose[..., 1]), 0.3, 0.9)
    off_size = _ramp(np.abs(pose[..., 2]), math.log(1.35), math.log(2.6))
    off_upright = _ramp(np.abs(pose[..., 3]), math.radians(50), math.radians(90))
    hidden = _ramp(1.0 - np.asarray(visible), 0.15, 0.5)
    worst: Array = np.minimum(np.minimum(off_centre, off_size), np.minimum(off_upright, hidden))
    return worst


def _ramp(value: Array, good: float, bad: float) -> Array:
    share: Array = np.clip((bad - value) / (bad - good), 0.0, 1.0)
    return share


class Sampler:
    """Draws batches from a store; the same generator state gives the same batch."""

    def __init__(self, store: FrameStore, permutation: Array, reference: Array, size: int) -> None:
        self.store = store
        self.permutation = permutation
        self.reference = reference
        self.size = size
        self._cumulative = np.cumsum(store.probability)

    def batch(self, rng: np.random.Generator, count: int) -> WindowBatch:
        """`count` samples: most seen as in refinement, the others roughly, off the face, or without one."""
        samples = [self._sample(rng) for _ in range(count)]
        images, landmarks, poses, presence = zip(*samples, strict=True)
        return WindowBatch(
            np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)),
            np.stack(landmarks).astype(np.float32),
            np.array(poses, np.float32),
            np.array(presence, np.float32),
        )

    def _sample(self, rng: np.random.Generator) -> tuple[Array, Array, Array, float]:
        picture, landmarks = self._face(rng)
        window = self._window(landmarks, picture.shape[0], rng)
        local = window.points_to_window(landmarks)
        pose = face_pose(local, self.reference)
        inside = ((landmarks[:, :2] >= 0) & (landmarks[:, :2] <= picture.shape[0])).all(axis=1).mean()
        presence = float(presence_of(pose, inside))
        image = self._look(picture, window, rng)
        if rng.random() < 0.07:
            image, presence = self._without_face(image, picture, presence, rng), 0.0
        elif rng.random() < 0.15:
            image = occlude(image, self._backdrop(rng), rng)
        return distort(image, rng) if rng.random() < 0.7 else image, local, pose, presence

    def _face(self, rng: np.random.Generator) -> tuple[Array, Array]:
        index = min(int(np.searchsorted(self._cumulative, rng.random())), len(self.store) - 1)
        picture, landmarks = self.store.pictures[index], self.store.landmarks[index]
        if rng.random() < 0.5:
            mirrored = landmarks[self.permutation].copy()
            mirrored[:, 0] = picture.shape[1] - mirrored[:, 0]
            return np.ascontiguousarray(picture[:, ::-1]), mirrored
        return np.ascontiguousarray(picture), landmarks

    def _window(self, landmarks: Landmarks, extent: int, rng: np.random.Generator) -> Window:
        face = face_window(landmarks, self.reference)
        draw = rng.random()
        if draw < 0.7:  # as a second look finds it
            pose = [*rng.normal(0, 0.05, 2), rng.normal(0, 0.08), rng.normal(0, math.radians(6))]
        elif draw < 0.91:  # as a detector's box or a neighbouring grid cell shows it
            limit = math.radians(60 if rng.random() < 0.3 else 40)
            pose = [*rng.uniform(-0.5, 0.5, 2), rng.uniform(math.log(0.6), math.log(2.4)), rng.uniform(-limit, limit)]
        else:  # anywhere
            side = extent * math.exp(rng.uniform(math.log(0.12), math.log(1.5)))
            return Window(rng.uniform(0, extent), rng.uniform(0, extent), side, rng.normal(0, 0.3))
        return face.compose(np.array(pose))

    def _look(self, picture: Pixels, window: Window, rng: np.random.Generator) -> Array:
        """Resample the window; what lies outside the picture is mirrored, repeated or another background."""
        extent, size = picture.shape[0], self.size
        matrix = window.to_source(size)
        shrink = window.side / size
        if shrink > 1.2:  # the store's pictures are small: a little blur instead of a pyramid
            picture = cv2.GaussianBlur(picture, (0, 0), 0.45 * shrink)
        draw = rng.random()
        if draw < 0.25 and window.side < 1.3 * extent:  # further out the mirrored face would show
            return warp(picture, matrix, size, border=cv2.BORDER_REFLECT)
        if draw < 0.6:
            return warp(picture, matrix, size)
        cover = warp(np.full((extent, extent), 255, np.uint8), matrix, size, border=cv2.BORDER_CONSTANT)
        if cover.min() == 255:
            return warp(picture, matrix, size)
        share = cover[..., None].astype(np.float32) / 255
        blended: Array = (warp(picture, matrix, size) * share + self._backdrop(rng) * (1 - share)).astype(np.uint8)
        return blended

    def _backdrop(self, rng: np.random.Generator) -> Array:
        """A window's worth of something that is no face: a corner of some picture, or a texture."""
        if rng.random() < 0.4:
            return texture(self.size, rng)
        picture = self.store.pictures[int(rng.integers(len(self.store)))]
        extent = picture.shape[0]
        side = extent * rng.uniform(0.06, 0.2)
        x, y = (float(place) * extent for place in rng.choice([0.05, 0.95], 2))
        corner = Window(x, y, side, rng.uniform(-0.5, 0.5))
        return warp(np.ascontiguousarray(picture), corner.to_source(self.size), self.size, border=cv2.BORDER_REFLECT)

    def _without_face(self, image: Pixels, picture: Pixels, presence: float, rng: np.random.Generator) -> Array:
        """What is alike but no face: shuffled tiles, a face on its head, a face covered whole, plain backgrounds."""
        size = self.size
        kind = rng.choice(["shuffled", "upside_down", "covered", "backdrop"], p=[0.25, 0.2, 0.25, 0.3])
        if kind == "shuffled":
            tiles = int(rng.choice([2, 4]))
            side = size // tiles
            parts = image[: side * tiles, : side * tiles].reshape(tiles, side, tiles, side, 3).transpose(0, 2, 1, 3, 4)
            parts = rng.permutation(parts.reshape(tiles * tiles, side, side, 3)).reshape(tiles, tiles, side, side, 3)
            # a permutation may leave a half as it was: turning every tile makes sure
            return np.ascontiguousarray(parts.transpose(0, 2, 1, 3, 4).reshape(side * tiles, side * tiles, 3)[::-1])
        if kind == "upside_down" and presence > 0:
            return np.ascontiguousarray(image[::-1, ::-1])
        if kind == "covered":
            mask = np.zeros((size, size), np.uint8)
            ellipse = ((size / 2, size / 2), (size * rng.uniform(0.6, 0.8), size * rng.uniform(0.75, 1.0)), 0.0)
            cv2.ellipse(mask, ellipse, 255, -1)
            share = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 6))[..., None].astype(np.float32) / 255
            whole = Window(picture.shape[0] / 2, picture.shape[0] / 2, picture.shape[0])
            around = warp(picture, whole.to_source(size), size)
            covered: Array = (around * (1 - share) + self._backdrop(rng) * share).astype(np.uint8)
            return covered
        return self._backdrop(rng)
