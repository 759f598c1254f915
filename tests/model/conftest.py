"""A small corpus folder of synthetic talking heads, laid out as docs/training.md describes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model.extractor import Extractor
from model.morphable import MorphableModel
from tests.support.corpus import Item, write_corpus
from tests.support.drawn_faces import astronaut, drawn_corpus, portrait, portrait_box  # noqa: F401
from tests.support.engine_cases import case, doubtful_case, guided_case, plain_case  # noqa: F401
from tests.support.speech_corpus import speech, speech_corpus, speech_folder  # noqa: F401

FRAMES = 30


@pytest.fixture(scope="session")
def morphable() -> MorphableModel:
    return MorphableModel.load()


@pytest.fixture(scope="session")
def extractor() -> Extractor:
    """The released one; to load it takes half a second."""
    return Extractor.load()


def random_motions(generator: np.random.Generator, frames: int) -> torch.Tensor:
    """Smooth random motions (frames, 70) of moderate size."""
    knots = generator.normal(size=(4, 70)) * np.r_[np.full(64, 0.8), 0.25, 0.15, 0.1, 0.05, 0.05, 0.05]
    t = np.linspace(0, 3, frames)
    return torch.from_numpy(np.stack([np.interp(t, range(4), column) for column in knots.T], 1)).float()


def draw_face(landmarks: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A picture (256, 256, 3) of landmarks (478, 3): enough of a face for a network to learn from."""
    x = np.linspace(40, 200, 256)
    image = np.stack([np.tile(x, (256, 1)), np.tile(x[:, None], (1, 256)), np.full((256, 256), 90.0)], -1).astype(
        np.uint8
    )
    points = landmarks[:, :2].astype(np.int32)
    cv2.fillConvexPoly(image, cv2.convexHull(points[:468]), colour)
    for left, right in ((33, 133), (362, 263)):
        cv2.line(image, points[left].tolist(), points[right].tolist(), (250, 250, 250), 5)
    cv2.fillPoly(image, [points[[61, 37, 0, 267, 291, 314, 17, 84]]], (150, 40, 40))
    return image


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory, morphable: MorphableModel) -> Path:
    """Four clips with a tone for sound, two stills; people do not cross the splits."""
    generator = np.random.default_rng(0)
    items = []
    for number, (frames, split) in enumerate(
        [(FRAMES, "train"), (FRAMES, "train"), (FRAMES, "val"), (FRAMES, "val"), (1, "train"), (1, "val")]
    ):
        identity = torch.from_numpy(generator.normal(size=(1, 80)) * 0.7).float()
        motions = random_motions(generator, max(frames, 2))[:frames]
        landmarks = morphable.landmarks(identity.expand(frames, -1), motions).numpy()
        colour = tuple(int(value) for value in generator.integers(90, 220, 3))
        pictures = [draw_face(np.rint(points * 4) / 4, colour) for points in landmarks]
        sound = None if frames == 1 else tone(generator, frames)
        columns = {"seconds": frames / 25, "sync": 0.5}
        items.append(Item(f"{number:010x}", split, f"p{number}", landmarks, pictures, sound, columns))
    return write_corpus(tmp_path_factory.mktemp("corpus"), items)


def tone(generator: np.random.Generator, frames: int) -> np.ndarray:
    """800 Hz that swells and fades, (640 T,)."""
    count = frames * 640
    envelope = np.interp(np.arange(count), np.linspace(0, count, 12), generator.uniform(0, 0.5, 12))
    return (envelope * np.sin(np.arange(count) * 0.1 * np.pi)).astype(np.float32)
