"""How jobs go on, each in a line of its own on the standard error stream."""

import sys

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pirenderer_client import AsyncJob, JobFailedError


def job_bars() -> Progress:
    """A display of jobs under way, for `follow`."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description} {task.fields[stage]:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    # What is printed goes above the bars, but where it is read by a program
    return Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty(), disable=not console.is_terminal)


async def follow(job: AsyncJob, bars: Progress, label: str) -> None:
    """Show a job until it has succeeded. Raises ServiceError."""
    row = bars.add_task(label, total=None, stage=job.status)
    try:
        async for event in job.events():
            if progress := event.progress:
                bars.update(row, completed=progress.done, total=progress.total, stage=progress.stage)
            elif event.name == "status":
                bars.update(row, stage=event.data["status"])
    finally:
        bars.remove_task(row)
    if job.status != "succeeded":
        raise JobFailedError(job)


def show_timings(job: AsyncJob) -> None:
    """Print the seconds of each stage."""
    for stage, seconds in job.timings.items():
        typer.echo(f"{stage:>10} {seconds:8.2f} s")
