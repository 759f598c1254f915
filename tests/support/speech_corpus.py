"""A tiny corpus whose lips are driven by its sound, so that training has something true to find."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.audio.clip import SpeechClip
from model.audio.features import MELS, SAMPLES_PER_FRAME, SUBFRAMES
from model.data.speech_clips import read_sound
from model.morphable import MorphableModel
from model.morphable.basis import IDENTITY, MOTION
from model.morphable.controls import Controls
from tests.support.corpus import Item, write_corpus, write_speech_folder
from tests.support.paths import ROOT

FRAMES = 60


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


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Three seconds of the packaged speech; a buzz is none, and moves no face."""
    return read_sound(ROOT / "service/samples/speech.flac")[:48_000]


@pytest.fixture(scope="session")
def speech_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    items = [
        talking(number, person=number, split="val" if number >= 6 else "train", repo="made/up", sync=0.9)
        for number in range(8)
    ]
    return write_corpus(tmp_path_factory.mktemp("corpus"), items)


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lips two frames after the sound. Clips 0, 1 and 4 are of one person without a name, 2 and 3 of two others."""
    people, sync = (0, 0, 7, 8, 0), (0.9, 0.3, 0.6, 0.6, 0.6)
    items = [
        talking(
            number, person=person, delay=2, split="val" if number == 4 else "train",
            speaker="", source="words", lag=2, repo="made/up", sync=agreement,
        )
        for number, (person, agreement) in enumerate(zip(people, sync, strict=True))
    ]  # fmt: skip
    return write_speech_folder(tmp_path_factory.mktemp("speech"), items)


def talking(number: int, *, person: int, split: str, delay: int = 0, **columns: object) -> Item:
    """Clip `number` of a person: a head that sways and opens its jaw to the sound, `delay` frames after it."""
    model = MorphableModel.load()
    controls = Controls.load(model)
    loudness = syllables(FRAMES, number)
    identity = np.random.default_rng(person).standard_normal(80).astype(np.float32) * (0.3 + 0.1 * person)
    rest = np.zeros(70, np.float32)
    seen = np.concatenate([np.repeat(loudness[:1], delay), loudness[: FRAMES - delay]])
    motions = np.stack([controls.apply(identity, rest, {"jaw_open": float(value)}) for value in seen])
    motions[:, 64] = 0.1 * np.sin(np.arange(FRAMES) / 9 + number)
    landmarks = model.landmarks(torch.from_numpy(identity)[None], torch.from_numpy(motions)).numpy()
    black = np.zeros((256, 256, 3), np.uint8)
    name = columns.get("speaker", f"p{person}")
    return Item(f"clip{number}", split, str(name), landmarks, [black] * FRAMES, sound_of(loudness, number), columns)


def silent_clip(frames: int = 40, *, person: str = "p", source: str = "made up", sync: float = 0.5) -> SpeechClip:
    """A face that rests and says nothing."""
    return SpeechClip(
        id="clip",
        person=person,
        source=source,
        pictures=True,
        sync=sync,
        samples=torch.zeros(SAMPLES_PER_FRAME * frames),
        mel=torch.zeros(SUBFRAMES * frames, MELS),
        motion=torch.zeros(frames, MOTION),
        identity=torch.zeros(IDENTITY),
        opening=torch.zeros(frames),
        lids=torch.zeros(frames),
    )
