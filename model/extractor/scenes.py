"""Scenes for judging face finding: a face pasted into a larger picture, and pictures without one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from model.extractor.linear_face import face_window
from model.extractor.photometry import texture
from model.extractor.window import Window, warp


@dataclass(frozen=True)
class Scene:
    """A picture (H, W, 3) uint8 and the window of the face in it, if any."""

    picture: np.ndarray
    face: Window | None


def scene_with_face(
    portrait: np.ndarray, landmarks: np.ndarray, backdrop: np.ndarray, reference: np.ndarray, rng: np.random.Generator
) -> Scene:
    """Paste a portrait (S, S, 3) with landmarks (478, 3): its face 60 px to most of the scene high, tilted a bit.

    The face lies whole in the scene; the portrait's border may not.
    """
    height, width = (int(v) for v in rng.integers(320, 1000, 2))
    scene = _background(backdrop, width, height, rng)
    tall = float(np.ptp(landmarks[:, 1]))
    face_height = float(np.exp(rng.uniform(np.log(60), np.log(0.6 * min(width, height)))))
    scale, angle = face_height / tall, np.radians(rng.uniform(-25, 25))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = landmarks[:, :2] @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    shift = rng.uniform(-low, np.maximum(np.array([width, height]) - high, -low + 1e-3))
    matrix = np.hstack([turn, shift[:, None]])
    # shrink first, so that the warp does not alias
    level = max(0, int(np.floor(np.log2(1 / scale)))) if scale < 1 else 0
    small = cv2.resize(portrait, (portrait.shape[1] >> level, portrait.shape[0] >> level), interpolation=cv2.INTER_AREA)
    matrix[:, :2] *= 1 << level
    matrix[:, 2] -= 0.5 - 0.5 * matrix[:, :2].sum(axis=1)
    pasted = cv2.warpAffine(small, matrix, (width, height), flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(np.full(small.shape[:2], 255, np.uint8), matrix, (width, height), flags=cv2.INTER_LINEAR)
    scene = np.where(cover[..., None] > 127, pasted, scene)
    return Scene(scene, face_window(np.concatenate([turned + shift, landmarks[:, 2:] * scale], axis=1), reference))


def scene_without_face(backdrop: np.ndarray, rng: np.random.Generator) -> Scene:
    """A corner of a portrait enlarged, or a texture, of a random format."""
    height, width = (int(v) for v in rng.integers(320, 1000, 2))
    return Scene(_background(backdrop, width, height, rng), None)


def _background(backdrop: np.ndarray, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    size = max(width, height)
    if rng.random() < 0.3:
        return texture(size, rng)[:height, :width]
    extent = backdrop.shape[0]
    x, y = (float(place) for place in rng.choice([0.1, 0.9], 2))
    corner = Window(x * extent, y * extent, extent * rng.uniform(0.15, 0.2), rng.uniform(-0.3, 0.3))
    return warp(backdrop, corner.to_source(size), size, border=cv2.BORDER_REFLECT)[:height, :width]
