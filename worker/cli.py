"""Commands of the worker side: `worker`, and `render`, `extract` and `benchmark`, which need no server."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from jobs.credentials import ContentCredentials
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
    read_options,
)
from jobs.files.opening import make_artifacts
from jobs.files.private import keep_private
from jobs.formats import RENDERED
from jobs.kinds import QUEUES
from jobs.logs import configure_logging
from jobs.media_types import type_of
from jobs.redis_checks import check_redis
from jobs.schemas import MotionOptions
from jobs.semaphores import check_semaphores
from jobs.settings import put_in_environment, read_settings
from jobs.tracing import check_tracing
from worker.queue.app import run_worker
from worker.settings import WorkerSettings, checked_device, checked_queues

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result and the seconds of each stage as JSON.")]


def worker(
    queues: Annotated[
        str | None, typer.Option(help=f"Take only from these: {', '.join(QUEUES)}; comma-separated.")
    ] = None,
    redis_url: Annotated[str | None, typer.Option(help="Redis to take jobs from, shared with the API.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the jobs' files, shared with the API.")] = None,
) -> None:
    """Work on queued jobs until stopped. Start one for each GPU, on any number of machines."""
    # In the environment, since the process that works is a spawned child and reads its own settings.
    if redis_url is not None:
        put_in_environment("PIRENDERER_REDIS_URL", redis_url)
    if data_dir is not None:
        put_in_environment("PIRENDERER_DATA_DIR", str(data_dir))
    if queues is not None:
        try:
            put_in_environment("PIRENDERER_QUEUES", checked_queues(queues))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--queues") from error
    settings = read_settings(WorkerSettings)
    configure_logging(settings.log_level)
    check_tracing()
    _check_libraries()
    make_artifacts(settings)  # the child that works makes its own; what is wrong is said here, once
    ContentCredentials.of(settings)
    check_semaphores()
    check_redis(settings.redis_url)
    keep_private(settings.data_dir, settings.artifacts_dir, settings.scratch_dir)
    raise typer.Exit(run_worker(settings))


def _check_libraries() -> None:
    """Raises ModuleNotFoundError: what the process that works needs, and this one does not load, is not installed."""
    for name in ("numpy", "torch"):
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def render(
    portrait: PortraitFile,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help=f"What to write: {', '.join(RENDERED)}.")],
    control: ControlList = None,
    absolute: Absolute = False,
    motion: MotionFile = None,
    audio: Audio = None,
    driving: Driving = None,
    option: OptionList = None,
    as_json: JsonFlag = False,
) -> None:
    """Re-pose a portrait, or make it speak or follow a video, in this process and without any server."""
    drivers = read_drivers(control=control, absolute=absolute, motion=motion, audio=audio, driving=driving)
    options = drivers.options(option or [], output)
    check_writable(output)
    from worker.offline.offline import render_offline

    render_offline(portrait, output, drivers=drivers, options=options, as_json=as_json)


def extract(
    source: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Image or video with a face.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="JSON file to write; `render --motion` takes it.")],
    overlay: Annotated[
        Path | None, typer.Option(help="Also draw what was read on the source: .png, or .mp4 for a video.")
    ] = None,
    option: OptionList = None,
    as_json: JsonFlag = False,
) -> None:
    """Extract the motion of the face in an image or a video."""
    options = read_options(MotionOptions, option or [])
    if options.overlay:
        raise typer.BadParameter("overlay=true is for the API; here --overlay names its file", param_hint="--option")
    video = not type_of(source).startswith("image/")
    suffix = ".mp4" if video else ".png"
    if overlay is not None and overlay.suffix.lower() != suffix:
        raise typer.BadParameter(f"{str(overlay)!r}; allowed is {suffix}", param_hint="--overlay")
    if overlay is not None and overlay.resolve() == output.resolve():
        raise typer.BadParameter(f"{str(overlay)!r} is --output as well; allowed is another", param_hint="--overlay")
    check_writable(output)
    if overlay is not None:
        check_writable(overlay, "--overlay")
    from worker.offline.offline import extract_offline

    extract_offline(source, output, video=video, overlay=overlay, options=options, as_json=as_json)


def benchmark(
    *,
    part: Annotated[
        list[str] | None,
        typer.Option(help="engines, video, paste, live, start, length (minutes); repeatable. Default: all but length."),
    ] = None,
    renderer: Annotated[
        list[str] | None,
        typer.Option(help="light (released), full (paper's size, made weights) or a file; repeatable. Default: both."),
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames per engine and round.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; the median counts.")] = 3,
    device: Annotated[str, typer.Option(help="Of the engines: auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Of the engines; default: all.")] = None,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for benchmark.json, .md (tables) and .svg (plot).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure eager fp32 against each engine, a video job's stages, live pictures, a worker's start, and memory."""
    import json

    from model.errors import ModelError
    from worker.benchmark import PARTS, USUAL_PARTS, measure
    from worker.benchmark.plot import as_svg
    from worker.benchmark.table import as_markdown

    if unknown := sorted(set(part or ()) - set(PARTS)):
        raise typer.BadParameter(f"{unknown[0]!r}; allowed are {', '.join(PARTS)}", param_hint="--part")
    try:
        checked_device(device)
    except ValueError as error:
        raise typer.BadParameter(f"{error}, got {device!r}", param_hint="--device") from error
    configure_logging()
    engines = {"frames": frames, "rounds": rounds, "device": device, "threads": threads}
    try:
        report = measure(
            read_settings(WorkerSettings), parts=part or USUAL_PARTS, renderers=renderer or ("light", "full"), **engines
        )
    except ModelError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    texts = {"json": json.dumps(report, indent=2) + "\n", "md": as_markdown(report), "svg": as_svg(report)}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for suffix, text in texts.items():
            (out / f"benchmark.{suffix}").write_text(text, encoding="utf-8")
    typer.echo(texts["json" if as_json else "md"], nl=False)
