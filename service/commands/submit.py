"""`pirenderer submit`: a job for a running server, followed and fetched."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.formats import SUFFIXES
from jobs.media_types import IMAGES, VIDEO_TYPES, listed, type_of
from jobs.schemas import Job
from service.client import Client, ServiceError
from service.commands.progress import follow_with_bars, require_success, show_timings


def submit(
    portrait: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=f"Photo: {listed(IMAGES)}.")],
    *,
    control: Annotated[list[str] | None, typer.Option(help="A named control: yaw=20, smile=0.5; repeatable.")] = None,
    absolute: Annotated[bool, typer.Option("--absolute", help="Controls replace the portrait's own pose.")] = False,
    motion: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Motion, a JSON file.")] = None,
    audio: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Speech to speak.")] = None,
    driving: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Image or video to follow.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the API: seed=3, size=512; repeatable.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="What to write (default: the portrait's name, new suffix).")
    ] = None,
    url: Annotated[str, typer.Option(envvar="PIRENDERER_URL", help="The server.")] = "http://127.0.0.1:8000",
    api_key: Annotated[str | None, typer.Option(envvar="PIRENDERER_API_KEY", help="Its API key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the finished job as JSON.")] = False,
) -> None:
    """Send a job to a running server, follow it and write its result."""
    drivers = {"--control": control, "--motion": motion, "--audio": audio, "--driving": driving}
    given = [name for name, value in drivers.items() if value]
    if len(given) != 1 and given != ["--audio", "--driving"]:
        allowed = f"exactly one of {', '.join(drivers)}, or --audio with --driving, is needed"
        raise typer.BadParameter(f"{allowed}, got {', '.join(given) or 'none'}")
    files = {"portrait": portrait, **({"audio": audio} if audio else {}), **({"driving": driving} if driving else {})}
    texts = {"options": json.dumps(_values(option or []))}
    wanted = {"controls": _values(control), "relative": not absolute} if control else _read_motion(motion)
    if wanted is not None:
        texts["motion"] = json.dumps(wanted)
    moving = wanted is not None and ("frames" in wanted or "keyframes" in wanted)
    filmed = driving is not None and type_of(driving) in VIDEO_TYPES
    try:
        with Client(url, api_key=api_key) as client:
            job = client.create("videos" if audio or moving or filmed else "images", files, **texts)
            job = _finish(client, job)
            assert job.result is not None  # noqa: S101 - it succeeded
            suffix = SUFFIXES[job.result.media_type]
            path = output or portrait.with_name(f"{portrait.stem}-animated.{suffix}")
            client.fetch(job, path)
    except ServiceError as error:
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


def _values(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts as a dictionary; a value is JSON where it can be, else text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def _read_motion(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        motion = json.loads(path.read_text())
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}", param_hint="--motion") from error
    if not isinstance(motion, dict):
        raise typer.BadParameter(f"{path} holds a {type(motion).__name__}, not an object", param_hint="--motion")
    return motion
