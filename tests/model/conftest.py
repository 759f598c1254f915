"""A small corpus folder of synthetic talking heads, laid out as docs/training.md describes."""

import csv
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from model.extractor import Extractor
from model.morphable import MorphableModel
from tests.support.drawn_faces import astronaut, drawn_corpus, portrait, portrait_box  # noqa: F401
from tests.support.engine_cases import case, guided_case, plain_case  # noqa: F401
from tests.support.speech_corpus import speech, speech_corpus  # noqa: F401

FRAMES = 30
COLUMNS = [
    "id",
    "kind",
    "split",
    "person",
    "frames",
    "seconds",
    "audio",
    "generated",
    "face_px",
    "repo",
    "commit",
    "path",
    "licence",
    "sync",
]


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
    root = tmp_path_factory.mktemp("corpus")
    (root / "clips").mkdir()
    (root / "stills").mkdir()
    generator = np.random.default_rng(0)
    rows = []
    for number, (kind, split) in enumerate(
        [("clip", "train"), ("clip", "train"), ("clip", "val"), ("clip", "val"), ("still", "train"), ("still", "val")]
    ):
        name = f"{number:010x}"
        frames = FRAMES if kind == "clip" else 1
        identity = torch.from_numpy(generator.normal(size=(1, 80)) * 0.7).float()
        landmarks = morphable.landmarks(identity.expand(frames, -1), random_motions(generator, max(frames, 2))[:frames])
        quarter = np.rint(landmarks.numpy() * 4).astype(np.int32)
        folder = root / f"{kind}s"
        np.savez(
            folder / f"{name}.npz",
            first=quarter[0].astype(np.int16),
            delta=np.diff(quarter, axis=0).astype(np.int16),
            crop=np.array([0, 0, 256], np.int32),
        )
        colour = tuple(int(value) for value in generator.integers(90, 220, 3))
        pictures = [draw_face(points / 4.0, colour) for points in quarter]
        if kind == "clip":
            _write_clip(folder / f"{name}.mp4", pictures, generator)
        else:
            cv2.imwrite(str(folder / f"{name}.jpg"), pictures[0][..., ::-1])
        rows.append(
            [name, kind, split, f"p{number}", frames, frames / 25, int(kind == "clip"), 0, 200, "", "", "", "", 0.5]
        )
    with (root / "index.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return root


def _write_clip(path: Path, pictures: list[np.ndarray], generator: np.random.Generator) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "12"})
        video.width = video.height = 256
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono")
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        count = len(pictures) * 640
        envelope = np.interp(np.arange(count), np.linspace(0, count, 12), generator.uniform(0, 0.5, 12))
        sound = (envelope * np.sin(np.arange(count) * 0.1 * np.pi)).astype(np.float32)
        for start in range(0, count, 1024):
            frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
