"""A tiny corpus whose lips are driven by its sound, so that training has something true to find."""

import csv
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from model.morphable import MorphableModel
from model.morphable.controls import Controls

FRAMES = 60
COLUMNS = tuple(
    "id kind split person frames seconds audio generated face_px repo commit path licence sync".split()  # noqa: SIM905
)


def syllables(frames: int, seed: int) -> np.ndarray:
    """Loudness (T,) 0..1 of made-up syllables."""
    random = np.random.default_rng(seed)
    rate, phase = random.uniform(0.1, 0.16), random.uniform(0, 6)
    return np.clip(np.sin(2 * np.pi * rate * np.arange(frames) + phase), 0, 1)


def sound_of(loudness: np.ndarray, seed: int) -> np.ndarray:
    """A buzz (640 T,) of that loudness."""
    time = np.arange(640 * len(loudness)) / 16_000
    level = np.interp(np.arange(len(time)) / 640, np.arange(len(loudness)) + 0.5, loudness)
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.2 * level * np.sign(np.sin(2 * np.pi * 140 * time)) + 1e-3 * noise).astype(np.float32)


def write_clip(path: Path, sound: np.ndarray, frames: int) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 256
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        for _ in range(frames):
            picture = av.VideoFrame.from_ndarray(np.zeros((256, 256, 3), np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = 16_000, 0, Fraction(1, 16_000)
        container.mux(audio.encode(block))
        container.mux(audio.encode(None))


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    return sound_of(syllables(75, 3), 3)


@pytest.fixture(scope="session")
def speech_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    (root / "clips").mkdir()
    model, rows = MorphableModel.load(), []
    controls = Controls.load(model)
    for number in range(8):
        loudness = syllables(FRAMES, number)
        identity = np.random.default_rng(number).standard_normal(80).astype(np.float32) * 0.3
        rest = np.zeros(70, np.float32)
        motions = np.stack([controls.apply(identity, rest, {"jaw_open": float(value)}) for value in loudness])
        motions[:, 64] = 0.1 * np.sin(np.arange(FRAMES) / 9 + number)
        landmarks = model.landmarks(torch.from_numpy(identity)[None], torch.from_numpy(motions)).numpy()
        quarter = np.round(landmarks * 4).astype(np.int32)
        name = f"clip{number}"
        np.savez(
            root / "clips" / f"{name}.npz",
            first=quarter[0].astype(np.int16),
            delta=np.diff(quarter, axis=0).astype(np.int16),
            crop=np.array([0, 0, 256], np.int32),
        )
        write_clip(root / "clips" / f"{name}.mp4", sound_of(loudness, number), FRAMES)
        row = dict.fromkeys(COLUMNS, "") | {"id": name, "kind": "clip", "split": "val" if number >= 6 else "train"}
        row |= {"person": f"p{number}", "frames": str(FRAMES), "audio": "1", "generated": "0", "face_px": "200"}
        rows.append(row | {"repo": "made/up", "sync": "0.9"})
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return root
