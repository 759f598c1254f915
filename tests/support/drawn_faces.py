"""Drawn faces: the morphable model's landmarks painted as simple pictures, in the layout of a corpus folder."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model.face.topology import INNER_LIPS, LEFT_BROW, LEFT_EYE, OUTER_LIPS, RIGHT_BROW, RIGHT_EYE
from model.morphable import MorphableModel
from tests.support.corpus import Item, write_corpus
from tests.support.paths import ROOT


def drawn_face(landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A 256 x 256 picture of landmarks (478, 3)."""
    image = np.full((256, 256, 3), rng.integers(0, 256, 3), np.uint8)
    points = landmarks[:, :2].round().astype(np.int32)
    skin = rng.integers(120, 240, 3)
    cv2.fillPoly(image, [cv2.convexHull(points)], skin.tolist())
    for outline, colour in (
        (OUTER_LIPS, (180, 60, 70)),
        (INNER_LIPS, (60, 10, 20)),
        (RIGHT_EYE, (250, 250, 250)),
        (LEFT_EYE, (250, 250, 250)),
        (RIGHT_BROW, (50, 30, 20)),
        (LEFT_BROW, (50, 30, 20)),
    ):
        cv2.fillPoly(image, [points[list(outline)]], colour)
    for iris in (468, 473):
        cv2.circle(image, points[iris].tolist(), 5, (40, 60, 80), -1)
    return image


@pytest.fixture(scope="session")
def drawn_corpus(tmp_path_factory) -> Path:
    """Six people's stills and one clip to train on, two people's stills held out."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = MorphableModel.load()
    items = []
    for person in range(9):
        frames = 12 if person == 8 else 1
        motion = 0.5 * torch.randn(frames, 70)
        motion[:, 64:67] *= 0.3
        motion[:, 67:] = torch.tensor([-0.45, 0.0, 0.1])
        landmarks = model.landmarks(0.7 * torch.randn(1, 80).expand(frames, -1), motion).numpy()
        split = "val" if person in (6, 7) else "train"
        pictures = [drawn_face(points, rng) for points in landmarks]
        columns = {"generated": 1, "face_px": 155, "repo": "drawn", "licence": "none"}
        items.append(Item(f"face{person}", split, f"p{person}", landmarks, pictures, columns=columns))
    return write_corpus(tmp_path_factory.mktemp("corpus"), items)


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """The packaged sample portrait, (H, W, 3) RGB."""
    return photo("service/samples/portrait.jpg")


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """Another person, (H, W, 3) RGB."""
    return photo("tests/samples/astronaut.jpg")


def photo(path: str) -> np.ndarray:
    """A photo of the repository."""
    image = cv2.imread(str(ROOT / path))
    assert image is not None, path
    return np.ascontiguousarray(image[..., ::-1])


@pytest.fixture(scope="session")
def portrait_box() -> tuple[float, float, float, float]:
    """Where its face is, by eye: x, y, width, height from the hat's brim to the chin."""
    return 178.0, 124.0, 176.0, 207.0
