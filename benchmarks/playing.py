"""How soon a video plays, and how its making keeps up with it: a real service with its released weights.

python -m benchmarks.playing --workers 1        # about a minute
"""

import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import soundfile
import typer
from PIL import Image

from service.commands.serve import serving
from service.running.embedded import free_port
from service.settings import Settings

SAMPLES = Path(__file__).parents[1] / "service/samples"
PHOTO_PIXELS = 1_000_000


def main(
    *,
    workers: Annotated[int, typer.Option(help="Workers that share the video.")] = 1,
    seconds: Annotated[float, typer.Option(help="Length of the speech.")] = 60,
    times: Annotated[int, typer.Option(help="How often; the first is not counted.")] = 6,
) -> None:
    """Time from a warm worker's claim to the first segment that can be played, and to the segments after it."""
    with service(workers) as url, httpx.Client(base_url=url, timeout=120, trust_env=False) as http:
        sound = speech_of(seconds)
        firsts, leads = [], []
        for number in range(times):
            photo = photo_of(PHOTO_PIXELS, quality=80 + number)  # one that no worker has seen
            job = http.post("/v1/videos", files={"portrait": photo, "audio": sound}).json()["id"]
            there = segments_there(http, job, most=3)
            started = datetime.fromisoformat(http.get(f"/v1/jobs/{job}").json()["started_at"]).timestamp()
            http.post(f"/v1/jobs/{job}/cancel")
            if number:
                firsts.append(there[0] - started)
                leads.append([moment - started for moment in there])
            time.sleep(1)
    typer.echo(f"first segment: {statistics.median(firsts):.2f} s (from {min(firsts):.2f} to {max(firsts):.2f})")
    typer.echo(
        f"medians of the first segments: {[round(statistics.median(each), 2) for each in zip(*leads, strict=True)]}"
    )


def segments_there(http: httpx.Client, job: str, *, most: int) -> list[float]:
    """When each of the first `most` segments could be played, by the times of the job's events."""
    there: list[float] = []
    with http.stream("GET", f"/v1/jobs/{job}/events") as response:
        made, event = 0.0, ""
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                made = int(value.partition("-")[0]) / 1000
            elif name == "event":
                event = value
            elif not line:
                if event == "segment":
                    there.append(made)
                event = ""
                if len(there) == most:
                    break
    return there


@contextmanager
def service(workers: int) -> Iterator[str]:
    """A service of its own whose workers are ready."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), port=free_port())
        with (Path(folder) / "log").open("wb") as log, serving(settings, workers=workers, output=log) as (_, url):
            while httpx.get(f"{url}/readyz", trust_env=False).json()["workers"] < workers:
                time.sleep(0.2)
            time.sleep(5)
            yield url


def photo_of(pixels: int, *, quality: int) -> bytes:
    """The packaged portrait with so many pixels, as a JPEG."""
    with Image.open(SAMPLES / "portrait.jpg") as image:
        scale = (pixels / (image.width * image.height)) ** 0.5
        buffer = io.BytesIO()
        image.convert("RGB").resize((round(image.width * scale), round(image.height * scale))).save(
            buffer, "JPEG", quality=quality
        )
    return buffer.getvalue()


def speech_of(seconds: float) -> bytes:
    """The packaged speech, again and again."""
    samples, rate = soundfile.read(SAMPLES / "speech.flac")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.resize(samples, round(seconds * rate)), rate, format="WAV")
    return buffer.getvalue()


if __name__ == "__main__":
    typer.run(main)
