"""Measure the front-end under load: submissions, polls, event streams, and how work scales over workers.

    python -m benchmarks.load --out out/load        # about four minutes

Redis, the API and its clients are real processes and real requests; the workers do all a worker does but render. The
clients have a core of their own, all else shares the others.
"""

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from benchmarks.load.clients import Answers, Clients, as_fast_as_it_goes, at_a_rate, listening, quantile
from benchmarks.load.cores import CLIENTS, SERVICE, on_cores
from benchmarks.load.one_video import measure_one_video
from benchmarks.load.table import as_markdown
from benchmarks.load.workers import workers
from benchmarks.reports import tell
from service.commands.serve import serving
from service.running.embedded import free_port, running_redis
from service.settings import Settings
from worker.benchmark.machine import describe_machine
from worker.settings import WorkerSettings

PORTRAIT = Path(__file__).parents[2] / "service/samples/portrait.jpg"
KEY = "load" * 8
UNBOUNDED = 10**9
AT_ONCE = 16  # clients that ask as fast as they are answered


class Part(StrEnum):
    """What can be measured by itself."""

    ALL = "all"
    FRONT_END = "front-end"
    VIDEO = "video"


BUSY = 8  # workers while answers are timed at a fixed rate


def main(
    *,
    jobs: Annotated[int, typer.Option(help="Jobs that wait.")] = 10_000,
    rate: Annotated[float, typer.Option(help="Requests a second, half of them submissions, half polls.")] = 200,
    listeners: Annotated[int, typer.Option(help="Open streams of events.")] = 200,
    most_workers: Annotated[int, typer.Option(help="Steps are powers of two up to this.")] = 64,
    job_seconds: Annotated[float, typer.Option(help="What each job takes.")] = 0.5,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 10,
    api_processes: Annotated[int, typer.Option(help="Processes of the front-end.")] = 1,
    video_seconds: Annotated[float, typer.Option(help="Length of the video that many workers share.")] = 60,
    part: Annotated[Part, typer.Option(help="Measure this alone.")] = Part.ALL,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for benchmark.json and .md.")] = None,
) -> None:
    """Measure, print a table, and write both forms of it to `out`."""
    asked = {"jobs": jobs, "rate": rate, "listeners": listeners, "job_seconds": job_seconds, "seconds": seconds}
    asked |= {"video_seconds": video_seconds, "api_processes": api_processes}
    report: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": describe_machine(), **asked}
    steps = [2**step for step in range(most_workers.bit_length())]
    gc.freeze()  # what is imported is not garbage: searching it would be timed as a slow answer
    if part is not Part.FRONT_END:
        with service() as (url, settings):
            measure_one_video(report, url, settings, KEY, PORTRAIT)
    if part is not Part.VIDEO:
        with on_cores(SERVICE), service(api_processes) as (url, settings), on_cores(CLIENTS):
            asyncio.run(measure(report, url, settings, steps))
    tell(report, as_markdown(report), out)


@contextmanager
def service(api_processes: int = 1) -> Iterator[tuple[str, WorkerSettings]]:
    """A service without workers, asked with a key that has a rate and a quota: where it is, and its workers' settings.

    Bounds are counted as always, but none is reached: one key's clients stand for those of many owners.
    """
    os.environ |= {
        "PIRENDERER_RATE": f"{UNBOUNDED}/minute",
        "PIRENDERER_QUOTA": f"{UNBOUNDED}/day",
        "PIRENDERER_QUEUE_LIMIT": str(UNBOUNDED),
        "PIRENDERER_QUEUE_SHARE": str(UNBOUNDED),
        "PIRENDERER_FORM_SHARE": "200",  # as many as one front-end reads
        "PIRENDERER_FOLLOW_SHARE": str(UNBOUNDED),
    }
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("wb") as log:
        folder = Path(name)
        with running_redis(folder / "redis") as redis_url:
            settings = Settings(
                data_dir=folder,
                port=free_port(),
                redis_url=redis_url,
                api_keys=(SecretStr(KEY),),
                api_processes=api_processes,
            )
            with serving(settings, workers=0, output=log) as (_, url):
                yield url, WorkerSettings(data_dir=folder, redis_url=redis_url)


async def measure(report: dict[str, Any], url: str, settings: WorkerSettings, steps: list[int]) -> None:
    """Put into the report what is measured, one thing after another on the same growing and shrinking queue."""
    seconds, job_s = report["seconds"], report["job_seconds"]
    async with Clients(url, KEY, PORTRAIT) as clients:
        took = await as_fast_as_it_goes(clients.submit_by_id, clients=AT_ONCE, count=report["jobs"])
        report["submitted_by_id"] = clients.submitted.summary(took)
        clients.submitted = Answers()
        took = await as_fast_as_it_goes(clients.submit, clients=AT_ONCE, seconds=seconds)
        report["submitted"] = clients.submitted.summary(took)
        took = await as_fast_as_it_goes(clients.poll, clients=AT_ONCE, seconds=seconds)
        report["polled"] = clients.polled.summary(took)

        delays: list[float] = []
        clients.submitted, clients.polled = Answers(), Answers()
        with on_cores(SERVICE), workers(settings, most=BUSY, job_s=job_s) as simulated, on_cores(CLIENTS):
            async with listening(clients, report["listeners"], delays):
                await asyncio.sleep(2)  # until all are open
                simulated.activate(BUSY)
                with _without_pauses():
                    took = await at_a_rate([clients.submit, clients.poll], rate=report["rate"], seconds=2 * seconds)
        report["at_rate"] = {
            "submitted": clients.submitted.summary(took),
            "polled": clients.polled.summary(took),
            "events": {
                "count": len(delays),
                "failures": clients.unfollowed,
                **{f"p{percent}_ms": round(1000 * quantile(delays, percent / 100), 1) for percent in (50, 99)},
            },
        }

        report["workers"] = []
        with on_cores(SERVICE), workers(settings, most=steps[-1], job_s=job_s) as simulated, on_cores(CLIENTS):
            async with listening(clients, report["listeners"], []):
                for count in steps:
                    simulated.activate(count)
                    await asyncio.sleep(2 * job_s)
                    began = time.monotonic()
                    await asyncio.sleep(seconds)
                    efficiency = simulated.efficiency(began)
                    step = {"workers": count, "per_second": count * efficiency / job_s, "efficiency": efficiency}
                    report["workers"].append({name: round(value, 3) for name, value in step.items()})


@contextmanager
def _without_pauses() -> Iterator[None]:
    """The clients of a thousand machines do not stop at once: ours, in one process, search for no garbage meanwhile."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


if __name__ == "__main__":
    typer.run(main)
