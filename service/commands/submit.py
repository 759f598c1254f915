"""`pirenderer submit`: jobs for a running server, one for each portrait, followed and fetched."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from jobs.drivers import (
    Absolute,
    Audio,
    ControlList,
    Drivers,
    Driving,
    MotionFile,
    OptionList,
    check_writable,
    read_drivers,
    read_pairs,
)
from jobs.formats import SUFFIXES
from jobs.media_types import IMAGES, listed
from pirenderer_client import AsyncClient, AsyncJob, InvalidRequestError, ServiceError
from pirenderer_client.calls import ADDRESSES
from service.commands.progress import follow, job_bars, show_timings

UNDER_WAY = 4  # jobs at once
IMAGE_SUFFIXES = (*(f".{each.suffix}" for each in IMAGES), ".jpeg", ".heif")


def local_path(text: str) -> Path:
    """A file or a folder. Raises typer.BadParameter: it is none, or an address."""
    if text.startswith(ADDRESSES):
        raise typer.BadParameter(f"{text!r:.80} is an address; allowed are files and folders")
    if not (path := Path(text)).exists():
        raise typer.BadParameter(f"{text!r} does not exist")
    return path


def submit(
    portraits: Annotated[
        list[Path],
        typer.Argument(parser=local_path, metavar="PORTRAIT...", help=f"Photos, or folders of them: {listed(IMAGES)}."),
    ],
    *,
    control: ControlList = None,
    absolute: Absolute = False,
    motion: MotionFile = None,
    audio: Audio = None,
    text: Annotated[str | None, typer.Option(help="Instead of --audio, what the server is to speak.")] = None,
    voice: Annotated[str | None, typer.Option(help="In which voice (default: the server's own).")] = None,
    driving: Driving = None,
    option: OptionList = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, kept with each job; repeatable.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="What to write (default: NAME-animated.SUFFIX beside the portrait NAME)."),
    ] = None,
    output_dir: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for what is made.")] = None,
    url: Annotated[str, typer.Option(envvar="PIRENDERER_URL", help="The server.")] = "http://127.0.0.1:8000",
    api_key: Annotated[str | None, typer.Option(envvar="PIRENDERER_API_KEY", help="Its API key.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each job as a line of JSON when it has ended.")
    ] = False,
) -> None:
    """Send a job for each portrait to a running server, follow them and write their results."""
    drivers = read_drivers(
        control=control, absolute=absolute, motion=motion, audio=audio, driving=driving, text=text,
        speech="--audio, --text",
    )  # fmt: skip
    if voice and not text:
        raise typer.BadParameter(f"{voice!r}, but there is no --text to speak", param_hint="--voice")
    options = drivers.options(option or [], output)
    outputs = _outputs(portraits, output, output_dir, options.result_format.suffix)
    given = {
        "motion": drivers.motion and drivers.motion.model_dump(mode="json", exclude_unset=True),
        "voice": voice,
        "options": options.model_dump(mode="json", exclude_unset=True),
        "metadata": read_pairs(metadata) if metadata else None,
    }
    try:
        client = AsyncClient(url, api_key=api_key)
        batch = Batch(client, drivers, given, exact=output is not None, as_json=as_json, alone=len(outputs) == 1)
        failed = asyncio.run(batch.run(outputs))
    except ServiceError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if len(outputs) > 1:
        typer.echo(f"{len(outputs) - failed} of {len(outputs)} jobs succeeded", err=True)
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Batch:
    """Jobs that are alike but for their portraits. `exact`: the suffixes of what is written are not to be changed."""

    client: AsyncClient
    drivers: Drivers
    given: Mapping[str, Any]
    exact: bool
    as_json: bool
    alone: bool

    async def run(self, outputs: Mapping[Path, Path]) -> int:
        """Do all of them, some at a time; how many failed, each of which is told."""
        slots = asyncio.Semaphore(UNDER_WAY)

        async def one(portrait: Path, path: Path) -> bool:
            async with slots:
                return await self._one(portrait, path, bars)

        async with self.client:
            with job_bars() as bars:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(*names)) for names in outputs.items()]
        return [task.result() for task in tasks].count(False)

    async def _one(self, portrait: Path, path: Path, bars: Progress) -> bool:
        job: AsyncJob | None = None
        try:
            job = await self._create(portrait)
            await self._follow(job, bars, job.kind if self.alone else portrait.name)
            assert job.result is not None  # noqa: S101 - it succeeded
            if not self.exact:
                path = path.with_suffix(f".{SUFFIXES[job.result.media_type]}")
            await job.save(path)
        except (ServiceError, OSError) as error:
            typer.echo(f"error: {error}" if self.alone else f"error: {portrait}: {error}", err=True)
            if self.as_json:
                problem = error.problem if isinstance(error, ServiceError) else {"detail": str(error)}
                _print_json(portrait, None, job.document if job else {"error": problem})
            return False
        if self.as_json:
            _print_json(portrait, path, job.document)
        else:
            typer.echo(f"{path}")
            if self.alone:
                show_timings(job)
        return True

    async def _follow(self, job: AsyncJob, bars: Progress, label: str) -> None:
        """Canceled, as by Ctrl-C, cancel the job on the server, too."""
        try:
            await follow(job, bars, label)
        except asyncio.CancelledError:
            typer.echo(f"job {job.id} {await _canceled(job)}", err=True)
            raise

    async def _create(self, portrait: Path) -> AsyncJob:
        drivers = self.drivers
        if drivers.kind == "image":
            return await self.client.pose(portrait, driving=drivers.driving, **self.given)
        return await self.client.animate(
            portrait, audio=drivers.audio, text=drivers.text, driving=drivers.driving, **self.given
        )


async def _canceled(job: AsyncJob) -> str:
    """What has come of it."""
    try:
        await job.cancel()
    except InvalidRequestError:
        return "has ended already"
    except (ServiceError, asyncio.CancelledError):
        return "may go on: the server does not answer"
    return "is canceled"


def _print_json(portrait: Path, path: Path | None, document: Mapping[str, Any]) -> None:
    typer.echo(json.dumps({"portrait": str(portrait), "output": path and str(path), **document}))


def _outputs(portraits: Iterable[Path], output: Path | None, output_dir: Path | None, suffix: str) -> dict[Path, Path]:
    """What is written for each portrait. Raises typer.BadParameter: it cannot be, or two are written to one file."""
    found = list(dict.fromkeys(each for path in portraits for each in _files(path, output_dir)))
    if output and (output_dir or len(found) > 1):
        got = "--output-dir" if output_dir else f"{len(found)} portraits"
        raise typer.BadParameter(f"{str(output)!r} with {got}; allowed is one portrait", param_hint="--output")
    outputs: dict[Path, Path] = {}
    for portrait in found:
        path = output or (output_dir or portrait.parent) / f"{portrait.stem}-animated.{suffix}"
        if path in outputs.values():
            first = next(each for each, written in outputs.items() if written == path)
            raise typer.BadParameter(f"{first} and {portrait} would both be written to {str(path)!r}")
        check_writable(path)
        outputs[portrait] = path
    return outputs


def _files(path: Path, output_dir: Path | None) -> Iterator[Path]:
    """A portrait, or those in a folder."""
    if not path.is_dir():
        yield path
        return
    if output_dir is None:  # else what is made would be the portraits of the next time
        raise typer.BadParameter(f"{str(path)!r} is a folder, which needs --output-dir")
    images = sorted(each for each in path.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES and each.is_file())
    if not images:
        raise typer.BadParameter(f"{str(path)!r} has no image; allowed are {', '.join(IMAGE_SUFFIXES)}")
    yield from images
