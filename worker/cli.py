"""Commands of the worker side: `worker`, and `render`, `extract` and `benchmark`, which need no server."""

import os
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from jobs.credentials import ContentCredentials, InvalidCredentialsError
from jobs.documents import InvalidJsonError, read_document
from jobs.files.artifacts import InvalidArtifactStoreError
from jobs.files.opening import make_artifacts
from jobs.files.private import UnusableFolderError, keep_private
from jobs.formats import BY_SUFFIX
from jobs.logs import configure_logging
from jobs.media_types import IMAGES, listed, type_of
from jobs.motions import ControlsMotion, Motion
from jobs.schemas import MOTION, ImageOptions, MotionOptions, VideoOptions
from jobs.semaphores import NoSemaphoresError, check_semaphores
from jobs.settings import InvalidSettingsError, read_settings
from worker.queue.app import run_worker
from worker.settings import WorkerSettings

MAX_ERRORS = 10  # told of at once

Options = TypeVar("Options", bound=BaseModel)
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result and the seconds of each stage as JSON.")]
OptionList = Annotated[
    list[str] | None, typer.Option("--option", help="An option as in the API: fps=30, paste_back=false; repeatable.")
]


def worker(
    queues: Annotated[str, typer.Option(help="Take only from these: images, videos, motions; comma-separated.")] = "",
    redis_url: Annotated[str | None, typer.Option(help="Redis to take jobs from, shared with the API.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the jobs' files, shared with the API.")] = None,
) -> None:
    """Work on queued jobs until stopped. Start one for each GPU, on any number of machines."""
    # In the environment, since the process that works is a spawned child and reads its own settings.
    if redis_url is not None:
        os.environ["PIRENDERER_REDIS_URL"] = redis_url
    if data_dir is not None:
        os.environ["PIRENDERER_DATA_DIR"] = str(data_dir)
    configure_logging()
    try:
        settings = read_settings(WorkerSettings)
        make_artifacts(settings)  # the child that works makes its own; what is wrong is said here, once
        ContentCredentials.of(settings)
        check_semaphores()
        keep_private(settings.data_dir, settings.artifacts_dir, settings.scratch_dir)
    except (
        InvalidSettingsError,
        InvalidArtifactStoreError,
        InvalidCredentialsError,
        NoSemaphoresError,
        UnusableFolderError,
    ) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    try:
        code = run_worker(settings, [name.strip() for name in queues.split(",") if name.strip()])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--queues") from error
    raise typer.Exit(code)


def render(
    portrait: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=f"Photo: {listed(IMAGES)}.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="What to write: .png, .jpg, .webp or .mp4.")],
    control: Annotated[list[str] | None, typer.Option(help="A named control: yaw=20, smile=0.5; repeatable.")] = None,
    absolute: Annotated[bool, typer.Option(help="Controls replace the portrait's own pose.")] = False,
    motion: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Motion, a JSON file.")] = None,
    audio: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Speech to speak.")] = None,
    driving: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Image or video to follow.")] = None,
    option: OptionList = None,
    as_json: JsonFlag = False,
) -> None:
    """Re-pose a portrait, or make it speak or follow a video, in this process and without any server."""
    drivers = {"--control": control, "--motion": motion, "--audio": audio, "--driving": driving}
    given = [name for name, value in drivers.items() if value]
    if len(given) != 1 and given != ["--audio", "--driving"]:
        allowed = f"exactly one of {', '.join(drivers)}, or --audio with --driving, is needed"
        raise typer.BadParameter(f"{allowed}, got {', '.join(given) or 'none'}")
    from worker.offline.offline import render_offline

    render_offline(
        portrait,
        output,
        motion=_motion(control, motion, relative=not absolute),
        audio=audio,
        driving=driving,
        options=_render_options(output, option or [], speech=audio is not None),
        as_json=as_json,
    )


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
    from worker.offline.offline import extract_offline

    options = _options(MotionOptions, option or [])
    if options.overlay:
        raise typer.BadParameter("overlay=true is for the API; here --overlay names its file", param_hint="--option")
    video = not type_of(source).startswith("image/")
    suffix = ".mp4" if video else ".png"
    if overlay is not None and overlay.suffix.lower() != suffix:
        raise typer.BadParameter(f"{overlay.name!r}; allowed is {suffix}", param_hint="--overlay")
    extract_offline(source, output, video=video, overlay=overlay, options=options, as_json=as_json)


def benchmark(
    *,
    part: Annotated[
        list[str] | None,
        typer.Option(help="engines, video, paste, start, length (minutes); repeatable. Default: all but length."),
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
    """Measure eager fp32 against each engine, the stages of a video job, a worker's start, and memory over length."""
    import json

    from model.errors import ModelError
    from worker.benchmark import PARTS, USUAL_PARTS, measure
    from worker.benchmark.plot import as_svg
    from worker.benchmark.table import as_markdown

    if unknown := sorted(set(part or ()) - set(PARTS)):
        raise typer.BadParameter(f"{unknown[0]!r}; allowed are {', '.join(PARTS)}", param_hint="--part")
    configure_logging()
    engines = {"frames": frames, "rounds": rounds, "device": device, "threads": threads}
    try:
        report = measure(
            read_settings(WorkerSettings), parts=part or USUAL_PARTS, renderers=renderer or ("light", "full"), **engines
        )
    except (InvalidSettingsError, ModelError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    texts = {"json": json.dumps(report, indent=2) + "\n", "md": as_markdown(report), "svg": as_svg(report)}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for suffix, text in texts.items():
            (out / f"benchmark.{suffix}").write_text(text, encoding="utf-8")
    typer.echo(texts["json" if as_json else "md"], nl=False)


def _render_options(output: Path, pairs: list[str], *, speech: bool) -> ImageOptions | VideoOptions:
    """Those of an image or of a video, as the output's suffix says."""
    kinds = ("video",) if speech else ("image", "video")
    suffixes = {suffix: each for suffix, each in BY_SUFFIX.items() if each.kind in kinds}
    found = suffixes.get(output.suffix.lower())
    if found is None:
        raise typer.BadParameter(f"{output.name!r}; allowed is {', '.join(suffixes)}", param_hint="--output")
    if found.kind == "video":
        return _options(VideoOptions, pairs, format=found.name)
    return _options(ImageOptions, pairs, format=found.name)


def _motion(control: list[str] | None, path: Path | None, *, relative: bool) -> Motion | None:
    try:
        if control:
            return ControlsMotion.model_validate({"controls": _pairs(control), "relative": relative})
        return None if path is None else read_document(MOTION, path.read_bytes())
    except InvalidJsonError as error:
        raise typer.BadParameter(str(error), param_hint="--motion") from error
    except ValidationError as error:
        raise typer.BadParameter(_explained(error), param_hint="--control" if control else "--motion") from error


def _options(schema: type[Options], pairs: list[str], **defaults: Any) -> Options:
    try:
        return schema.model_validate({**defaults, **_pairs(pairs)})
    except ValidationError as error:
        raise typer.BadParameter(_explained(error), param_hint="--option") from error


def _pairs(texts: list[str]) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary; pydantic reads the values."""
    pairs = dict(text.partition("=")[::2] for text in texts)
    if bad := [text for text in texts if "=" not in text]:
        raise typer.BadParameter(f"{bad[0]!r} is not NAME=VALUE")
    return pairs


def _explained(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'motion'}: {problem['msg']}, got {problem['input']!r:.80}"
        for problem in islice(error.errors(include_url=False), MAX_ERRORS)
    )
