"""Progress bars of a job, one for each stage, from its events."""

import json

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from jobs.schemas import Job, JobStatus
from service.client import Client, ServiceError


def follow_with_bars(client: Client, job: Job, label: str) -> Job:
    """Show a job's stages on the standard error stream until it ends; the job as it ended. Raises ServiceError."""
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn(f"{label} {{task.description:<9}}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        current: TaskID | None = None
        stage = ""
        for event in client.follow(job):
            data = json.loads(event.data)
            name = data["stage"] if event.event == "progress" else str(data["status"])
            done, total = (data["done"], data["total"]) if event.event == "progress" else (0, None)
            if name != stage:
                if current is not None:
                    _complete(bars, current)
                stage = name
                ended = event.ends
                current = None if ended else bars.add_task(name, total=total)
            if current is not None:
                bars.update(current, completed=done, total=total)
    return client.job(job.id)


def require_success(job: Job) -> None:
    """Raise ServiceError saying why a job did not succeed."""
    if job.status is not JobStatus.SUCCEEDED:
        why = f": {job.error.title}: {job.error.detail}" if job.error else ""
        raise ServiceError(f"job {job.id} {job.status.value}{why}", job.error)


def show_timings(job: Job) -> None:
    """Print the seconds of each stage."""
    for stage, seconds in job.timings.items():
        typer.echo(f"{stage:>10} {seconds:8.2f} s")


def _complete(bars: Progress, task_id: TaskID) -> None:
    total = next(task.total for task in bars.tasks if task.id == task_id) or 1
    bars.update(task_id, completed=total, total=total)
