"""What pieces of work need: clients, inputs, and a note of what comes of them."""

import io
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import soundfile
from PIL import Image

from benchmarks.soak.receiver import Receiver, receiving
from benchmarks.soak.service import Watched
from benchmarks.soak.tally import Tally
from pirenderer_client import AsyncClient, AsyncJob, Portrait
from tests.support import hostile
from tests.support.films import film, swaying

SAMPLES = Path(__file__).parents[2] / "service/samples"
OTHER_FACE = Path(__file__).parents[2] / "tests/samples/astronaut.jpg"
RATE = 16_000
SPEECH_S = (0.4, 1.2)  # bounds of a speech's length
FRAMES = 12
HARM = {  # how jobs may end that are made of what means harm
    *("succeeded", "unreadable-media", "too-costly", "too-many-pixels", "no-face", "silent-audio"),
    *("audio-too-long", "video-too-long"),
}


@dataclass
class Inputs:
    """Files to work with, made once."""

    portrait: bytes
    driver: bytes
    film: bytes
    speech: np.ndarray
    harmful: dict[str, list[hostile.Named]] = field(default_factory=dict)

    @classmethod
    def made(cls) -> "Inputs":
        """From the packaged samples."""
        with Image.open(SAMPLES / "portrait.jpg") as image:
            photo = np.asarray(image.convert("RGB"))
        with tempfile.TemporaryDirectory() as folder:
            moving = film(Path(folder) / "a.mp4", swaying(photo, FRAMES), crf=20).read_bytes()
        samples, _ = soundfile.read(SAMPLES / "speech.flac", dtype="int16")
        harmful = {
            "images": list(hostile.images()),
            "sounds": list(hostile.sounds()),
            "videos": list(hostile.videos()),
            "motions": list(hostile.motions()),
        }
        return cls((SAMPLES / "portrait.jpg").read_bytes(), OTHER_FACE.read_bytes(), moving, samples, harmful)

    def said(self, chance: random.Random) -> bytes:
        """A short piece of the speech, as a file."""
        length = round(chance.uniform(*SPEECH_S) * RATE)
        start = chance.randrange(len(self.speech) - length)
        soundfile.write(buffer := io.BytesIO(), self.speech[start : start + length], RATE, format="WAV")
        return buffer.getvalue()


@dataclass
class Bench:
    """One service at work. `http` is a client that takes answers as they are; `client` is the Python client."""

    service: Watched
    http: httpx.AsyncClient
    client: AsyncClient
    receiver: Receiver
    inputs: Inputs
    tally: Tally
    chance: random.Random
    kept: Portrait
    piece: str = ""  # that is under way

    def yaw(self) -> dict[str, float]:
        """Controls like no others."""
        return {"yaw": round(self.chance.uniform(-20, 20), 3), "smile": round(self.chance.random(), 3)}

    async def finished(self, job: AsyncJob, *expected: str) -> AsyncJob:
        """The job when it has ended, as it was to end."""
        async for _ in job.events():
            pass
        self.tally.ended(self.piece, job.document, expected=expected or ("succeeded",))
        return job


@asynccontextmanager
async def bench(service: Watched, tally: Tally, seed: int) -> AsyncIterator[Bench]:
    """All that is needed, with a portrait that is kept."""
    inputs = Inputs.made()
    headers = {"Authorization": f"Bearer {service.key}"}
    async with (
        receiving({"portrait.jpg": inputs.portrait}) as receiver,
        httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60, trust_env=False) as http,
        AsyncClient(service.url, api_key=service.key) as client,
    ):
        kept = await client.keep_portrait(inputs.portrait)
        yield Bench(service, http, client, receiver, inputs, tally, random.Random(seed), kept)
