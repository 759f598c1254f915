"""`pirenderer demo`: the product at work on the packaged portrait and speech."""

import asyncio
import json
import tempfile
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from jobs.errors import UnusableError
from jobs.settings import read_settings
from pirenderer_client import AsyncClient, AsyncJob, ServiceError
from service.commands.progress import follow, job_bars, show_timings
from service.commands.serve import CannotServeError, serving
from service.running.embedded import free_port
from service.running.supervisor import POLL_S, ChildDiedError, Supervisor
from service.settings import Settings

T = TypeVar("T")

SAMPLES = Path(__file__).parents[1] / "samples"
POSE = {"yaw": 20, "pitch": 5, "smile": 0.6}
CONTACT_SHEET = "worker.media.sheet:contact_sheet"  # by name, as commands are: we import no worker
LOG_LINES = 25
PATIENCE = 2  # deaths of a process before the demo is given up


def demo(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for what is made.")] = Path("out"),
    portrait: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Another portrait.", show_default=False)
    ] = SAMPLES / "portrait.jpg",
    speech: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Other speech.", show_default=False)
    ] = SAMPLES / "speech.flac",
    as_json: Annotated[bool, typer.Option("--json", help="Print both finished jobs as JSON.")] = False,
) -> None:
    """Start Redis, a worker and the API, pose a portrait, let it speak, and write what comes of it into ./out."""
    out.mkdir(parents=True, exist_ok=True)
    log_path = out / "demo.log"
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="pirenderer-") as folder, log_path.open("wb") as log:
        try:
            settings = read_settings(
                Settings, data_dir=Path(folder), host="127.0.0.1", port=free_port(), api_keys=(), keys_dir=None
            )
            console.print("starting Redis, a worker and the API…")
            everything = serving(settings, workers=1, own_redis=True, output=log, patience=PATIENCE)
            with ThreadPoolExecutor(1) as pool, everything as (supervisor, url):
                if supervisor.stopping:
                    raise typer.Exit(130)
                console.print(f"everything runs at {url}")
                work = pool.submit(asyncio.run, until_stopped(_run_jobs(url, portrait, speech, out), supervisor))
                work.add_done_callback(lambda _: supervisor.request_stop())
                supervisor.watch()
            jobs = work.result()
            if jobs is None:
                raise typer.Exit(130)
        except (UnusableError, CannotServeError, ChildDiedError, ServiceError) as error:
            typer.echo(f"error: {error}", err=True)
            log.flush()
            for line in log_path.read_text(errors="replace").splitlines()[-LOG_LINES:]:
                typer.echo(f"  {line}", err=True)
            raise typer.Exit(1) from error
    paths = {"image": out / "portrait-posed.png", "video": out / "talking-head.mp4", "sheet": out / "contact-sheet.png"}
    contact_sheet = resolve_name(CONTACT_SHEET)
    contact_sheet(portrait, paths["image"], _words(POSE), paths["video"]).save(paths["sheet"])
    if as_json:
        summary: dict[str, Any] = {name: job.document for name, job in jobs.items()}
        typer.echo(json.dumps({"paths": {name: str(path) for name, path in paths.items()}, "jobs": summary}))
        return
    for name, path in paths.items():
        typer.echo(f"{path}")
        if name in jobs:
            show_timings(jobs[name])


async def until_stopped(work: Coroutine[Any, Any, T], supervisor: Supervisor) -> T | None:
    """What comes of `work`; None where a stop is requested before, for then the work has lost what it works with."""
    task = asyncio.create_task(work)
    while not task.done() and not supervisor.stopping:
        await asyncio.wait([task], timeout=POLL_S)
    if not supervisor.stopping:
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None


async def _run_jobs(url: str, portrait: Path, speech: Path, out: Path) -> dict[str, AsyncJob]:
    """Both jobs, one after the other, their results written to `out`. Raises ServiceError."""
    async with AsyncClient(url) as client:
        with job_bars() as bars:
            image = await client.pose(portrait, controls=POSE)
            await follow(image, bars, "image")
            await image.save(out / "portrait-posed.png")
            video = await client.animate(portrait, audio=speech, options={"seed": 1})
            await follow(video, bars, "video")
            await video.save(out / "talking-head.mp4")
    return {"image": image, "video": video}


def _words(pose: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in pose.items())
