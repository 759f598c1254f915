"""Measure what a fleet that grows and shrinks with `pirenderer_workers_wanted` is worth beside fleets of a fixed size.

    python -m benchmarks.load.scaling --out out/scaling        # about ten minutes

A burst of images and videos comes to a service without work. Front-end, Redis, queues, claims and leases are real, and
so is the gauge, which is read as KEDA reads it; workers do all a worker does but render, for which they wait as long as
rendering was measured to take. Pods and controllers are simulated, by the ScaledObject that is shipped. Everything that
is waited for takes `faster` times less, and all times are told as if it had not: so what claims and requests really
take, which is no faster, counts as many times.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.load.__main__ import KEY, PORTRAIT, service
from benchmarks.load.autoscaler import SCALED_OBJECT, SYNC_S, Autoscaler, Rule
from benchmarks.load.clients import as_fast_as_it_goes, quantile
from benchmarks.load.one_video import turning
from benchmarks.load.waiting_videos import FRAME_S
from benchmarks.load.workers import Workers, workers
from benchmarks.reports import tell
from jobs.store.jobs import JobStore
from jobs.store.records import JobRecord
from worker.benchmark.machine import describe_machine
from worker.benchmark.table import machine_line, table
from worker.settings import WorkerSettings

IMAGE_S = 0.1  # what an image takes of a worker on two cores
VIDEO_SHARE = 0.2  # of the jobs; their lengths in seconds, and how many of ten have each:
LENGTHS = {10.0: 7, 20.0: 2, 40.0: 1}
SENDERS = 6  # requests under way at once, of which an owner may have eight
STEP_S = 0.25  # from one look at the clock to the next
HOUR_S = 3600.0


@dataclass
class Fleet:
    """How many workers there were, and what that cost. Times are those that are told."""

    seconds: float = 0.0  # of all workers, from when each was wanted, for a machine that starts one is paid already
    most: int = 0


def main(
    *,
    jobs: Annotated[int, typer.Option(help="Jobs of the burst.")] = 500,
    fixed: Annotated[str, typer.Option(help="Fleets of fixed sizes.")] = "4,8,16,32",
    scaled_object: Annotated[Path, typer.Option(help="Manifest of the rule.", exists=True)] = SCALED_OBJECT,
    start_seconds: Annotated[float, typer.Option(help="From a pod's making until its worker takes jobs.")] = 30,
    faster: Annotated[float, typer.Option(help="How many times less all waiting takes.")] = 2,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for benchmark.json and .md.")] = None,
) -> None:
    """Measure, print a table, and write both forms of it to `out`."""
    rule = Rule.read(scaled_object)
    sizes = [int(size) for size in fixed.split(",") if size]
    report: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": describe_machine(), "jobs": jobs}
    report |= {"start_seconds": start_seconds, "faster": faster, "rule": _told(rule), "fleets": []}
    with service() as (url, settings):
        store = JobStore.connect(settings.redis_url)
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as http:
            bench = _Bench(settings, store, http, url, faster)
            for size in sizes:
                report["fleets"].append({"fleet": str(size), **bench.measure(jobs, size, None, 0)})
            report["fleets"].append({"fleet": "scaled", **bench.measure(jobs, rule.most, rule, start_seconds)})
        store.close()
    tell(report, as_markdown(report), out)


@dataclass(frozen=True)
class _Bench:
    settings: WorkerSettings
    store: JobStore
    http: httpx.Client
    url: str
    faster: float

    def measure(self, jobs: int, most: int, rule: Rule | None, start_s: float) -> dict[str, float]:
        """What a burst meets: with a rule a fleet that begins with what that wants, else one of `most` workers."""
        with workers(self.settings, most=most, job_s=IMAGE_S / self.faster, faster=self.faster) as simulated:
            scaler = None if rule is None else Autoscaler(rule, self.wanted)
            if scaler is None:
                simulated.activate(most)
                time.sleep(2)
            else:
                scaler.step(0)  # right before the burst: it is seen as late as can be
            began, made = time.monotonic(), asyncio.run(self.burst(jobs))
            fleet = self._drive(simulated, began, scaler, start_s, most)
        records = [record for job in made if (record := self.store.get(job)) is not None]
        assert len(records) == jobs
        failed = {record.error.detail for record in records if record.error is not None}
        assert not failed, failed
        return self._figures(records, fleet, fleet.seconds if rule else most * HOUR_S)

    def wanted(self) -> float:
        """The gauge, as KEDA reads it."""
        answer = self.http.get("/metrics").raise_for_status()
        families = text_string_to_metric_families(answer.text)
        return next(family.samples[0].value for family in families if family.name == "pirenderer_workers_wanted")

    async def burst(self, jobs: int) -> list[str]:
        """Send all jobs as fast as they are taken; their ids."""
        chosen = random.Random(1)
        made: list[str] = []
        async with httpx.AsyncClient(base_url=self.url, headers=self.http.headers, timeout=60, trust_env=False) as http:
            answer = await http.post("/v1/portraits", files={"portrait": PORTRAIT.read_bytes()})
            portrait = answer.raise_for_status().json()["id"]

            async def submit() -> None:
                if chosen.random() < VIDEO_SHARE:
                    (length,) = chosen.choices(list(LENGTHS), list(LENGTHS.values()))
                    call, motion = "videos", turning(length)
                else:
                    call, motion = "images", {"controls": {"yaw": 20}}
                answer = await http.post(f"/v1/{call}", json={"portrait": {"id": portrait}, "motion": motion})
                made.append(answer.raise_for_status().json()["id"])

            await as_fast_as_it_goes(submit, clients=SENDERS, count=jobs)
        return made

    def _drive(self, simulated: Workers, began: float, scaler: Autoscaler | None, start_s: float, fixed: int) -> Fleet:
        """Until all is done, and where their number changes until there are no workers any more."""
        fleet, before = Fleet(), 0.0
        ready_at = [] if scaler else [0.0] * fixed
        while True:
            now = (time.monotonic() - began) * self.faster
            fleet.seconds += len(ready_at) * (now - before)
            fleet.most = max(fleet.most, len(ready_at))
            before = now
            if scaler is not None:
                scaler.step(now)
                count = scaler.workers
                ready_at = [*ready_at[:count], *(now + start_s for _ in range(count - len(ready_at)))]
                simulated.activate(sum(at <= now for at in ready_at))
            if self.store.workers.wanted() == 0 and not (scaler and ready_at):
                return fleet
            time.sleep(STEP_S / self.faster)

    def _figures(self, records: list[JobRecord], fleet: Fleet, hour_s: float) -> dict[str, float]:
        first = min(record.created_at for record in records)
        waits, ends = list[float](), list[float]()
        for record in records:
            assert record.started_at is not None
            assert record.finished_at is not None
            waits.append(self.faster * (record.started_at - record.created_at).total_seconds())
            ends.append(self.faster * (record.finished_at - first).total_seconds())
        return {
            "most": fleet.most,
            "done_s": round(max(ends), 1),
            **{f"wait_p{percent}_s": round(quantile(waits, percent / 100), 1) for percent in (50, 95)},
            "worker_s": round(fleet.seconds),
            "hour_s": round(hour_s),
        }


def _told(rule: Rule) -> str:
    def policies(direction: Any) -> str:
        each = (f"{one.value}{' %' if one.percent else ''} in {one.period_s:g} s" for one in direction.policies)
        return " or ".join(each)

    return (
        f"one worker for each {rule.target:g} of the gauge, {rule.least} to {rule.most}; KEDA looks every "
        f"{rule.polling_s:g} s, the autoscaler every {SYNC_S:g} s; up by {policies(rule.up)} after {rule.up.window_s:g}"
        f" s, down by {policies(rule.down)} after {rule.down.window_s:g} s, to none {rule.cooldown_s:g} s after the "
        "last work"
    )


def as_markdown(report: dict[str, Any]) -> str:
    """All that was measured, with its machine."""
    head = (
        *("workers", "most", "all done, s", "wait p50, s", "wait p95, s"),
        *("worker-seconds", "in an hour with one burst"),
    )
    rows = [tuple(row.values()) for row in report["fleets"]]
    mean = sum(length * many for length, many in LENGTHS.items()) / sum(LENGTHS.values())
    lengths = ", ".join(f"{length:g}" for length in LENGTHS)
    parts = [
        machine_line(report["machine"], report["date"]),
        f"{report['jobs']} jobs at once, one in {1 / VIDEO_SHARE:g} a video of {lengths} s ({mean:g} on average), the "
        f"others images; an image takes a worker {IMAGE_S:g} s, a frame of a video {FRAME_S:g}. Rendering is waited "
        f"for, and pods are simulated, {report['faster']:g} times as fast as told; queues, claims and requests are "
        "real.",
        f"Scaled: {report['rule']}; a new worker takes jobs {report['start_seconds']:g} s after it is wanted.",
        table(head, rows),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    typer.run(main)
