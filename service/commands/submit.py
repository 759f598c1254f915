"""`pirenderer submit`: a job for a running server, followed and fetched."""

import json
from pathlib import Path
from typing import Annotated

import typer

from jobs.drivers import (
    Absolute,
    Audio,
    ControlList,
    Driving,
    MotionFile,
    OptionList,
    PortraitFile,
    check_writable,
    read_drivers,
)
from jobs.formats import FORMATS, SUFFIXES
from jobs.schemas import Job
from service.client import Client, ServiceError
from service.commands.progress import follow_with_bars, require_success, show_timings


def submit(
    portrait: PortraitFile,
    *,
    control: ControlList = None,
    absolute: Absolute = False,
    motion: MotionFile = None,
    audio: Audio = None,
    driving: Driving = None,
    option: OptionList = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="What to write (default: the portrait's name, new suffix).")
    ] = None,
    url: Annotated[str, typer.Option(envvar="PIRENDERER_URL", help="The server.")] = "http://127.0.0.1:8000",
    api_key: Annotated[str | None, typer.Option(envvar="PIRENDERER_API_KEY", help="Its API key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the finished job as JSON.")] = False,
) -> None:
    """Send a job to a running server, follow it and write its result."""
    drivers = read_drivers(control=control, absolute=absolute, motion=motion, audio=audio, driving=driving)
    options = drivers.options(option or [], output)
    animated = portrait.with_name(f"{portrait.stem}-animated.{FORMATS[options.format].suffix}")
    check_writable(output or animated)
    files = {"portrait": portrait, "audio": audio, "driving": driving}
    texts = {"options": options.model_dump_json(exclude_unset=True)}
    if drivers.motion is not None:
        texts["motion"] = drivers.motion.model_dump_json(exclude_unset=True)
    try:
        with Client(url, api_key=api_key) as client:
            job = client.create(f"{drivers.kind}s", {name: file for name, file in files.items() if file}, **texts)
            job = _finish(client, job)
            assert job.result is not None  # noqa: S101 - it succeeded
            path = output or animated.with_suffix(f".{SUFFIXES[job.result.media_type]}")
            client.fetch(job, path)
    except (ServiceError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps({"output": str(path), **job.model_dump(mode="json")}))
        return
    typer.echo(f"{path}")
    show_timings(job)


def _finish(client: Client, job: Job) -> Job:
    """Follow a job to its success; Ctrl-C cancels it on the server, too, where that answers."""
    try:
        job = follow_with_bars(client, job, job.kind.value)
    except KeyboardInterrupt:
        try:
            client.cancel(job)
            outcome = "is canceled"
        except (ServiceError, KeyboardInterrupt):
            outcome = "may go on: the server does not answer"
        typer.echo(f"job {job.id} {outcome}", err=True)
        raise typer.Exit(130) from None
    require_success(job)
    return job
