"""What the benchmarks work on: the packaged portrait and speech, brought to the size and length of ordinary ones."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

from model.arrays import Floats
from model.evaluation.engines.subjects import Scene
from model.extractor import Extraction
from model.morphable import MorphableModel
from model.pictures import to_image
from model.renderer.prior.prior import Prior
from worker.media.audio import read_speech
from worker.media.images import read_image
from worker.models import Models
from worker.settings import WorkerSettings

SAMPLES = Path(__file__).parents[2] / "service" / "samples"
PORTRAIT, SPEECH = SAMPLES / "portrait.jpg", SAMPLES / "speech.flac"
PIXELS = 1_500_000
GRAIN = 2.0  # grey levels of noise; without it an enlarged picture would be easier to encode than a photo is


def large_portrait(folder: Path, pixels: int = PIXELS) -> Path:
    """The portrait enlarged to about `pixels`, with grain, as a JPEG in `folder`."""
    with Image.open(PORTRAIT) as image:
        scale = (pixels / (image.width * image.height)) ** 0.5
        size = round(image.width * scale), round(image.height * scale)
        enlarged = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS), np.float32)
    grain = np.random.default_rng(0).normal(0, GRAIN, enlarged.shape[:2])[..., None]
    path = folder / "portrait.jpg"
    Image.fromarray(np.clip(enlarged + grain + 0.5, 0, 255).astype(np.uint8)).save(path, quality=92)
    return path


def long_speech(folder: Path, seconds: float) -> Path:
    """The speech over and over for `seconds`, as FLAC in `folder`."""
    samples, rate = soundfile.read(SPEECH, dtype="int16")
    left = round(seconds * rate)
    path = folder / f"speech-{seconds:g}.flac"
    with soundfile.SoundFile(path, "w", rate, 1) as file:
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)
    return path


def speaking_scene(frames: int) -> Scene:
    """The packaged portrait at evenly spaced moments of the packaged speech, as the guided renderer is given it."""
    settings, models = WorkerSettings(), Models()
    face = models.extractor.extract(read_image(PORTRAIT, settings.image_limits))
    motions = torch.from_numpy(spoken_motions(models, settings, face, frames))
    morphable = MorphableModel.load()
    landmarks, identity = torch.from_numpy(face.landmarks), torch.from_numpy(face.identity)[None]
    target = morphable.move(landmarks, identity, torch.from_numpy(face.motion), motions)
    prior = Prior.load(morphable)
    guide = prior.guide(prior.head_of(face), target, motions, size=face.image.shape[0])
    return Scene(to_image(face.image), motions, guide.prior)


def spoken_motions(models: Models, settings: WorkerSettings, face: Extraction, frames: int) -> Floats:
    """Motions (frames, 70) of a face at evenly spaced moments of the packaged speech."""
    speech = np.concatenate([*read_speech(SPEECH, settings.audio_limits)])
    spoken = models.speech.generate(speech, face.motion, identity=face.identity)
    motions: Floats = spoken[np.linspace(0, len(spoken) - 1, frames).astype(int)]
    return motions
