"""Progress bars of a job, one for each stage, from its events."""

import json
from queue import SimpleQueue
from threading import Thread

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from jobs.schemas import Job, JobStatus
from service.client import Client, ServiceError


def follow_with_bars(client: Client, job: Job, label: str) -> Job:
    """Show a job's stages on the standard error stream until it ends; the job as it ended. Raises ServiceError.

    A thread follows while this one waits: Ctrl-C in the midst of a request can leave a lock of the connection pool held
    for good, and then nothing more could be asked of the server.
    """
    found: SimpleQueue[Job | Exception] = SimpleQueue()

    def follow() -> None:
        try:
            found.put(_follow(client, job, label))
        except Exception as error:
            found.put(error)

    Thread(target=follow, daemon=True).start()
    try:
        outcome = found.get()
    except KeyboardInterrupt:
        Console(stderr=True).show_cursor()  # which the bars have hidden, and may not have the time to show
        raise
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _follow(client: Client, job: Job, label: str) -> Job:
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
            if event.event not in ("progress", "status"):
                continue
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
