"""Commands of the worker side: `worker`, and `render` and `extract`, which need no server."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError

from model.errors import ModelError
from service.jobs.motions import ControlsMotion, Motion
from service.jobs.schemas import ImageOptions, MotionOptions, VideoOptions
from worker.app import run_worker
from worker.console import StageBars, show_outcome
from worker.errors import InputError
from worker.jobs import extract_motion, make_image, make_video
from worker.logs import configure_logging
from worker.media.files import written
from worker.models import Models
from worker.render import Made
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import Workbench

IMAGE_FORMATS: dict[str, Literal["png", "jpeg", "webp"]] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
}
MOTION: TypeAdapter[Motion] = TypeAdapter(Motion)

Options = TypeVar("Options", bound=BaseModel)
Job = Callable[[Workbench, Path], Made]
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
        code = run_worker(WorkerSettings(), [name.strip() for name in queues.split(",") if name.strip()])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--queues") from error
    raise typer.Exit(code)


def render(
    portrait: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Photo: JPEG, PNG or WebP.")],
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
    if len(given) != 1:
        raise typer.BadParameter(f"exactly one of {', '.join(drivers)} is needed, got {', '.join(given) or 'none'}")
    wanted = _motion(control, motion, relative=not absolute)
    job = _render_job(portrait, output, motion=wanted, audio=audio, driving=driving, pairs=option or [])
    _run(job, output, speech=audio is not None, as_json=as_json)


def extract(
    source: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Image or video with a face.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="JSON file to write; `render --motion` takes it.")],
    option: OptionList = None,
    as_json: JsonFlag = False,
) -> None:
    """Extract the motion of the face in an image or a video."""
    options = _options(MotionOptions, option or [])
    video = source.suffix.lower() not in IMAGE_FORMATS

    def job(bench: Workbench, path: Path) -> Made:
        return extract_motion(bench, source, path, video=video, options=options)

    _run(job, output, speech=False, as_json=as_json)


def _render_job(
    portrait: Path,
    output: Path,
    *,
    motion: Motion | None,
    audio: Path | None,
    driving: Path | None,
    pairs: list[str],
) -> Job:
    """An image or a video job, as the output's suffix says."""
    suffix = output.suffix.lower()
    if suffix == ".mp4":
        moving = _options(VideoOptions, pairs)
        return lambda bench, path: make_video(
            bench, portrait, path, audio=audio, motion=motion, driving=driving, options=moving
        )
    if suffix not in IMAGE_FORMATS or audio is not None:
        allowed = ".mp4" if audio is not None else ", ".join([*IMAGE_FORMATS, ".mp4"])
        raise typer.BadParameter(f"{output.name!r}; allowed is {allowed}", param_hint="--output")
    still = _options(ImageOptions, pairs, format=IMAGE_FORMATS[suffix])
    return lambda bench, path: make_image(bench, portrait, path, motion=motion, driving=driving, options=still)


def _run(job: Job, output: Path, *, speech: bool, as_json: bool) -> None:
    """Run a job with progress bars; errors that are the user's end the command with their text and code 1."""
    settings = WorkerSettings()
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with StageBars() as bars, written(output) as temporary:
            stages = Stages(bars.report)
            with stages.run("load"):
                models = Models(engine=settings.engine, device=settings.device, directory=settings.weights_dir)
                models.load_all(speech=speech)
            made = job(Workbench(models, settings, stages), temporary)
    except (InputError, ModelError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    show_outcome(output, made, stages.seconds, as_json=as_json)


def _motion(control: list[str] | None, path: Path | None, *, relative: bool) -> Motion | None:
    try:
        if control:
            return ControlsMotion.model_validate({"controls": _pairs(control), "relative": relative})
        return None if path is None else MOTION.validate_json(path.read_bytes())
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
        for problem in error.errors(include_url=False)
    )
