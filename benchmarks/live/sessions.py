"""Sessions as people have them: what is sent, in real time, and when the pictures of it come."""

import asyncio
import io
import itertools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from pirenderer_client import AsyncLive, LivePicture
from tests.support.films import swaying

SAMPLES = Path(__file__).parents[2] / "service/samples"
RATE, PIECE_S = 16_000, 0.06
CONTROLS_S, CAMERA_S = 1 / 30, 1 / 15  # from one to the next
TILT_S = 1.0  # the person before the camera holds the head to one side for so long
TILTED = (2, 22)  # frames of a sway: six degrees to either side
CAMERA_SIZE = (640, 480)
THUMBNAIL = (96, 96)


@dataclass
class Seen:
    """Pictures as they came: when, by the monotonic clock, and what."""

    pictures: list[tuple[float, LivePicture]] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Pictures a second."""
        return (len(self.pictures) - 1) / (self.pictures[-1][0] - self.pictures[0][0])

    @property
    def gaps(self) -> list[float]:
        """Seconds from one to the next."""
        return [later - earlier for (earlier, _), (later, _) in itertools.pairwise(self.pictures)]

    async def shows(self, number: int, timeout_s: float = 60) -> float:
        """When a picture came that shows what has this number, or what is newer. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                for at, picture in self.pictures[-20:]:
                    if picture.number is not None and picture.number >= number:
                        return at
                await asyncio.sleep(0.005)


@asynccontextmanager
async def seeing(live: AsyncLive) -> AsyncIterator[Seen]:
    """What comes meanwhile."""
    seen = Seen()

    async def look() -> None:
        async for picture in live:
            seen.pictures.append((time.monotonic(), picture))

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _regularly(every_s: float, seconds: float, send: Callable[[int], Awaitable[object]]) -> None:
    """Send when it is due, however long it takes."""
    began = time.monotonic()
    for number in range(round(seconds / every_s)):
        await asyncio.sleep(max(0.0, began + number * every_s - time.monotonic()))
        await send(number)


async def drive_by_controls(live: AsyncLive, seen: Seen, seconds: float) -> list[float]:
    """Turn the head one way and the other; seconds from each step to the first picture of it, or of a later one."""
    sent: dict[int, float] = {}

    async def send(step: int) -> None:
        at = time.monotonic()
        sent[await live.controls(yaw=20 * math.sin(step / 15))] = at

    await _regularly(CONTROLS_S, seconds, send)
    await seen.shows(max(sent))
    shown = ((at, picture.number) for at, picture in seen.pictures if picture.number is not None)
    delays = []
    for arrival, newest in shown:
        for number in [number for number in sent if number <= newest]:
            delays.append(arrival - sent.pop(number))
    return delays


async def drive_by_sound(live: AsyncLive, seen: Seen, seconds: float) -> list[float]:
    """Let it speak; seconds by which each picture is behind the sound that had been sent when it came."""
    sound = speech(seconds)
    pieces = np.array_split(sound, round(len(sound) / (RATE * PIECE_S)))
    began = time.monotonic()

    async def send(number: int) -> None:
        await live.hear(pieces[number].tobytes())

    first = len(seen.pictures)
    await live.drive("sound", seed=7)
    await _regularly(PIECE_S, seconds, send)
    ended = time.monotonic()
    return [at - began - picture.at for at, picture in seen.pictures[first:] if began + 1 < at < ended]


async def drive_by_camera(live: AsyncLive, seen: Seen, seconds: float) -> list[float]:
    """Let a person tilt the head; seconds from each tilt to the picture that is half-way there."""
    frames, tilts = tilted(), []

    async def send(number: int) -> None:
        side, earlier = (int((number - back) * CAMERA_S / TILT_S) % 2 for back in (0, 1))
        if number and side != earlier:
            tilts.append(time.monotonic())
        await live.look(frames[side])

    await live.drive("camera")
    await _regularly(CAMERA_S, seconds, send)
    return _half_ways(seen, [*tilts, time.monotonic()])


def _half_ways(seen: Seen, tilts: list[float]) -> list[float]:
    """Seconds from each tilt until the pictures are nearer to those after it than to those before it."""
    thumbnails = [(at, thumbnail(picture.jpeg)) for at, picture in seen.pictures]
    delays = []
    for began, ended in itertools.pairwise(tilts):
        before = [shown for at, shown in thumbnails if at < began]
        after = [(at, shown) for at, shown in thumbnails if began <= at < ended]
        if before and after:
            start, end = before[-1], after[-1][1]
            delays.append(
                next(at for at, shown in after if np.abs(shown - end).sum() <= np.abs(shown - start).sum()) - began
            )
    return delays


def thumbnail(jpeg: bytes) -> np.ndarray:
    """A picture as (H, W) float32 of few pixels."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("L").resize(THUMBNAIL), np.float32)


def tilted() -> list[bytes]:
    """The packaged portrait before a camera, as JPEGs: the head to one side, and to the other."""
    with Image.open(SAMPLES / "portrait.jpg") as image:
        photo = np.asarray(image.convert("RGB"))
    frames = list(swaying(photo, max(TILTED) + 1, size=CAMERA_SIZE, zoom=CAMERA_SIZE[1] / len(photo)))
    return [_jpeg(Image.fromarray(frames[index])) for index in TILTED]


def portrait(number: int) -> bytes:
    """The packaged portrait as a file that no worker has seen."""
    with Image.open(SAMPLES / "portrait.jpg") as image:
        return _jpeg(image.convert("RGB"), quality=60 + number)


def speech(seconds: float) -> np.ndarray:
    """The packaged speech (n,) int16 at 16 kHz, again and again."""
    samples, rate = soundfile.read(SAMPLES / "speech.flac", dtype="int16")
    assert rate == RATE
    return np.resize(samples, round(seconds * rate)).astype("<i2")


def _jpeg(image: Image.Image, *, quality: int = 85) -> bytes:
    image.save(buffer := io.BytesIO(), "JPEG", quality=quality)
    return buffer.getvalue()
