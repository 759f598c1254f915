"""Progress bars and outcome of a job that runs on the command line."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from worker.make.output import Clamped, Output


class StageBars:
    """A bar for each stage, on the standard error stream; `report` is a worker.stages.Report."""

    def __init__(self) -> None:
        columns = TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._complete(except_for=None)
        self._progress.stop()

    def report(self, stage: str, done: int, total: int | None) -> None:
        """Show where the job is; a stage that begins ends those before it."""
        if stage not in self._bars:
            self._complete(except_for=stage)
            self._bars[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._bars[stage], completed=done, total=total)

    def _complete(self, *, except_for: str | None) -> None:
        for stage, bar in self._bars.items():
            if stage != except_for:
                total = next((task.total for task in self._progress.tasks if task.id == bar), None) or 1
                self._progress.update(bar, completed=total, total=total)


def show_outcome(output: Path, made: Output, seconds: dict[str, float], *, as_json: bool) -> None:
    """Say what was written and how long each stage took, for people or as one JSON object."""
    if as_json:
        result = {name: value for name, value in made.told().items() if value is not None}
        timings = {stage: round(value, 4) for stage, value in seconds.items()}
        typer.echo(json.dumps({"output": str(output), "result": result, "timings": timings}))
        return
    typer.echo(f"{output}: {_described(made)}")
    for stage, value in seconds.items():
        typer.echo(f"{stage:>10} {value:8.2f} s")


def _described(made: Output) -> str:
    parts = [made.media_type]
    if made.width:
        parts.append(f"{made.width} x {made.height}")
    if made.frames:
        parts.append(f"{made.frames} frames at {made.fps:g} fps, {made.duration:g} s")
    if made.frames_without_face:
        parts.append(f"{made.frames_without_face} frames of the video without a face")
    if made.clamped:
        parts.append(_limited(made.clamped, "frame" if made.frames else "image"))
    return ", ".join(parts)


def _limited(clamped: Clamped, unit: str) -> str:
    plural = "" if clamped.count == 1 else "s"
    yaw, pitch = (f"{round(least)} to {round(most)}" for least, most in (clamped.reach.yaw, clamped.reach.pitch))
    return (
        f"{clamped.count} {unit}{plural} turned less than asked: of this portrait "
        f"yaw can be {yaw} and pitch {pitch} degrees, 0 facing the camera"
    )
