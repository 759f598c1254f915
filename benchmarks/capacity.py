"""How much of everything so many minutes of video an hour take: measured on one video, through a whole service.

    python -m benchmarks.capacity --out out/capacity          # a minute; other programs change `job_s` alone

The video is ten seconds of speech over a photo of 1.5 megapixels, as in `pirenderer benchmark`.
"""

import math
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import redis
import typer

from benchmarks.live.service import WORKER, Costs, Running, service
from benchmarks.reports import tell
from jobs.store.names import Key
from pirenderer_client import Client, Job
from worker.benchmark.inputs import large_portrait, long_speech
from worker.benchmark.machine import describe_machine
from worker.benchmark.table import machine_line, table

SPEECH_S = 10.0
MINUTES = (10, 60, 600)
BUSY = 0.7  # of the time that workers work; the rest is for hours that are not like others, and for what fails
KEPT_H = 24.0
MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Figures:
    """What one video took: seconds of a worker and of the cores; bytes of its files and of Redis while it is kept, and
    of Redis when it has expired."""

    video_s: float
    job_s: float
    core_s: float
    file_bytes: int
    record_bytes: int
    expired_bytes: int


@dataclass(frozen=True)
class Needs:
    """What so many minutes of video an hour take. Redis remembers expired jobs for a week, of an owner 10000."""

    minutes: float
    workers: int
    cores: float
    files_gib: float
    redis_mib: float


def needs(figures: Figures, minutes: float, *, busy: float = BUSY, kept_h: float = KEPT_H) -> Needs:
    """For so many minutes of videos like this an hour, kept for `kept_h` hours, with workers that are `busy`."""
    videos = minutes * 60 / figures.video_s
    expired = min(videos * 7 * 24, 10_000)
    return Needs(
        minutes=minutes,
        workers=math.ceil(videos * figures.job_s / 3600 / busy),
        cores=videos * figures.core_s / 3600 / busy,
        files_gib=videos * kept_h * figures.file_bytes / GIB,
        redis_mib=(videos * kept_h * figures.record_bytes + expired * figures.expired_bytes) / MIB,
    )


def main(
    *,
    busy: Annotated[float, typer.Option(min=0.05, max=1, help="Share of the time that workers shall work.")] = BUSY,
    kept_h: Annotated[float, typer.Option(help="PIRENDERER_RETENTION_S, in hours.")] = KEPT_H,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for benchmark.json and .md.")] = None,
) -> None:
    """Make a video, print what many take, and write both forms of it to `out`."""
    with service(1) as running, tempfile.TemporaryDirectory() as folder:
        figures = measure(running, Path(folder))
    rows = [needs(figures, minutes, busy=busy, kept_h=kept_h) for minutes in MINUTES]
    report: dict[str, Any] = {
        **{"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": describe_machine(), "busy": busy, "kept_h": kept_h},
        **{"video": asdict(figures), "needs": [asdict(each) for each in rows]},
    }
    tell(report, as_markdown(report), out)


def measure(running: Running, folder: Path) -> Figures:
    """Of the second video: the first warms up."""
    portrait, speech = large_portrait(folder), long_speech(folder, SPEECH_S)
    with Client(running.url) as client:
        for _ in range(2):
            costs = Costs(running)
            job = client.animate(portrait, audio=speech, options={"seed": 7}).wait()
            core_s = costs.a_second(WORKER) * (time.monotonic() - costs.began)
        began, ended = (datetime.fromisoformat(job.document[name]) for name in ("started_at", "finished_at"))
        assert job.result is not None
        files = sum(path.stat().st_size for path in running.folder.glob(f"artifacts/*/{job.id}/*"))
        with redis.Redis(unix_socket_path=str(running.folder / "redis/redis.sock")) as store:
            kept = _record_bytes(store, job)
            store.zadd(Key.EXPIRING, {job.id: 0})
            while client.job(job.id).status != "expired":
                time.sleep(0.1)
            expired = _record_bytes(store, job)
    assert job.result.duration is not None
    return Figures(job.result.duration, (ended - began).total_seconds(), core_s, files, kept, expired)


def _record_bytes(store: redis.Redis, job: Job) -> int:
    return sum(store.memory_usage(key, samples=0) or 0 for key in store.scan_iter(f"{Key.JOB}{job.id}*"))


def as_markdown(report: dict[str, Any]) -> str:
    """All that was measured, and what follows."""
    video = report["video"]
    rows = [
        (
            f"{row['minutes']:g}",
            f"{row['cores']:.1f}",
            row["workers"],
            f"{row['files_gib']:.1f}",
            round(row["redis_mib"]),
        )
        for row in report["needs"]
    ]
    parts = [
        "### Capacity",
        machine_line(report["machine"], report["date"]),
        f"A video of {video['video_s']:.1f} s took {video['job_s']:.1f} s of a worker and {video['core_s']:.1f} s of "
        f"the cores; {video['file_bytes'] / 1e6:.1f} MB of files and {video['record_bytes'] / 1000:.1f} kB of Redis, "
        f"{video['expired_bytes'] / 1000:.1f} kB when it has expired. With workers that are busy for "
        f"{report['busy']:.0%} of the time, and videos kept for {report['kept_h']:g} hours:",
        table(("minutes of video an hour", "cores", "workers", "files, GiB", "Redis, MiB"), rows),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    typer.run(main)
