"""Measure live sessions: how soon and how often pictures come, what they cost, and what happens when a worker dies.

    python -m benchmarks.live --out out/live                         # about five minutes
    python -m benchmarks.live --part controls --seconds 10           # the page's sliders alone

Redis, the API and the workers are real processes with the released weights; the client shares the machine with them.
"""

import asyncio
import signal
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.live.service import ROLES, WORKER, Costs, Running, service
from benchmarks.live.sessions import (
    SAMPLES,
    Seen,
    drive_by_camera,
    drive_by_controls,
    drive_by_sound,
    portrait,
    seeing,
)
from benchmarks.live.table import as_markdown
from benchmarks.load.clients import quantile
from benchmarks.reports import tell
from pirenderer_client import AsyncClient, AsyncLive, Portrait
from worker.benchmark.machine import describe_machine

Drive = Callable[[AsyncLive, Seen, float], Awaitable[list[float]]]

JOB_EVERY_S = 2.0
STARTS = 5
FREE_S = 2.0  # after which a worker has left a session that has ended


class Part(StrEnum):
    """What can be measured by itself."""

    START = "start"
    CONTROLS = "controls"
    SOUND = "sound"
    CAMERA = "camera"
    DEATH = "death"
    JOBS = "jobs"


DRIVES: dict[Part, Drive] = {
    Part.CONTROLS: drive_by_controls,
    Part.SOUND: drive_by_sound,
    Part.CAMERA: drive_by_camera,
}


def main(
    *,
    part: Annotated[list[Part] | None, typer.Option(help="Measure this alone; may be given several times.")] = None,
    seconds: Annotated[float, typer.Option(min=5, help="Length of each measurement.")] = 20,
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 512,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for benchmark.json and .md.")] = None,
) -> None:
    """Measure, print a table, and write both forms of it to `out`."""
    parts = part or list(Part)
    report: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": describe_machine()}
    report["asked"] = {"seconds": seconds, "size": size}
    for workers in (1, 2):
        if wanted := [each for each in parts if workers == 1 or each in (Part.DEATH, Part.JOBS)]:
            with service(workers) as running:
                asyncio.run(_measure(report, running, wanted, workers))
    tell(report, as_markdown(report), out)


async def _measure(report: dict[str, Any], running: Running, parts: list[Part], workers: int) -> None:
    """Put into the report what is measured with a service of so many workers."""
    async with AsyncClient(running.url, retries=10) as client:
        trial = Trial(running, client, await client.keep_portrait(SAMPLES / "portrait.jpg"), **report["asked"])
        if Part.START in parts:
            report["start"] = await trial.starts()
        for part, drive in DRIVES.items():
            if part in parts:
                report.setdefault("drives", {})[part] = await trial.driven(drive)
        if Part.DEATH in parts:
            report.setdefault("death", {})[workers] = await trial.death()
        if Part.JOBS in parts:
            report.setdefault("jobs", {})[workers] = await trial.beside_jobs()


@dataclass(frozen=True)
class Trial:
    """Sessions with one service, one after another."""

    running: Running
    client: AsyncClient
    kept: Portrait
    seconds: float
    size: int

    @asynccontextmanager
    async def session(self, kept: Portrait) -> AsyncIterator[tuple[AsyncLive, Seen]]:
        """One whose first picture has come."""
        async with self.client.live(kept, size=self.size) as live, seeing(live) as seen:
            await seen.shows(await live.controls(yaw=0))
            yield live, seen

    async def starts(self) -> dict[str, float]:
        """Seconds from the call to the first picture."""

        async def start(kept: Portrait) -> float:
            await asyncio.sleep(FREE_S)
            began = time.monotonic()
            async with self.session(kept) as (_, seen):
                return seen.pictures[0][0] - began

        portraits = [await self.client.keep_portrait(portrait(number)) for number in range(STARTS + 1)]
        first, *new = [await start(kept) for kept in portraits]
        known = [await start(portraits[0]) for _ in range(STARTS)]
        return {"first": first, "new": statistics.median(new), "known": statistics.median(known)}

    async def driven(self, drive: Drive) -> dict[str, float]:
        """How pictures come, and what they cost."""
        idle_mib = self.running.memory_mib(WORKER)
        async with self.session(self.kept) as (live, seen):
            seen.pictures.clear()
            costs = Costs(self.running)
            delays = await drive(live, seen, self.seconds)
            return {
                "per_second": seen.per_second,
                **{f"p{percent}_ms": 1000 * quantile(delays, percent / 100) for percent in (50, 99)},
                "kilobytes": statistics.mean(len(picture.jpeg) for _, picture in seen.pictures) / 1000,
                **{role: costs.a_second(role) for role in ROLES},
                "idle_mib": idle_mib,
                "session_mib": self.running.memory_mib(WORKER),
            }

    async def death(self) -> float:
        """Seconds from the death of the process that renders to a picture of what was asked for after it."""
        costs = Costs(self.running)
        async with self.session(self.kept) as (live, seen):
            await drive_by_controls(live, seen, 3)
            costs.busiest().send_signal(signal.SIGKILL)
            killed = time.monotonic()
            return await seen.shows(await live.controls(yaw=10)) - killed

    async def beside_jobs(self) -> dict[str, Any]:
        """How long images take beside a session, and how long it then stands still."""
        jobs: list[float] = []

        async def make(yaw: float) -> None:
            began = time.monotonic()
            await (await self.client.pose(self.kept, controls={"yaw": yaw})).wait()
            jobs.append(time.monotonic() - began)

        async def make_regularly() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(int(self.seconds / JOB_EVERY_S)):
                    group.create_task(make(number / 10))
                    await asyncio.sleep(JOB_EVERY_S)

        async with self.session(self.kept) as (live, seen):
            seen.pictures.clear()
            async with asyncio.TaskGroup() as group:
                made = group.create_task(make_regularly())
                while not made.done():
                    await drive_by_controls(live, seen, 1)
            gaps = seen.gaps
        return {
            "jobs": len(jobs),
            "job_s": statistics.median(jobs),
            "longest_job_s": max(jobs),
            "per_second": seen.per_second,
            "gap_ms": 1000 * statistics.median(gaps),
            "longest_gap_ms": 1000 * max(gaps),
        }


if __name__ == "__main__":
    typer.run(main)
