"""Work for hours and see whether anything grows, or goes wrong that is not to.

    python -m benchmarks.soak --minutes 120 --out out/soak          # exit status 1: something grows or went wrong

`pirenderer serve` runs with its own Redis and one worker. Between pieces of work it rests, so that it takes no more
than `--share` of a core. At the end work stops, and when retention has passed nothing of it may be left.
"""

import asyncio
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.reports import tell
from benchmarks.soak.bench import Bench, bench
from benchmarks.soak.figures import sample
from benchmarks.soak.service import Watched, watched
from benchmarks.soak.table import as_markdown
from benchmarks.soak.tally import Tally
from benchmarks.soak.trends import trend
from benchmarks.soak.trouble import TROUBLE
from benchmarks.soak.work import WORK, Piece
from worker.benchmark.machine import describe_machine

PIECE_S = 180.0  # no piece of work takes as long
SETTLE_S = 2.0  # before figures are taken
TIDY_S = 90.0  # in which what is due goes
# What may be left when all has expired: figures, and what they may come to. Portraits that are in use have gone, too.
NOTHING_LEFT = ("Redis keys: jobs", "Redis keys: portrait", "Redis: bytes counted as kept by owners", "temporary files")


@dataclass
class Soak:
    """One run: samples as they were taken, with the hours since the start."""

    service: Watched
    tally: Tally = field(default_factory=Tally)
    began: float = field(default_factory=time.monotonic)
    hours: list[float] = field(default_factory=list)
    samples: list[dict[str, float]] = field(default_factory=list)
    _told: int = 0

    @property
    def minutes(self) -> float:
        """Since the start."""
        return (time.monotonic() - self.began) / 60

    async def run(self, minutes: float, share: float, every_s: float, seed: int, retention_s: int) -> dict[str, float]:
        """Work, then wait until all that was made has expired; the figures then."""
        async with bench(self.service, self.tally, seed) as found:
            chance, pieces = random.Random(seed), list[Piece]()
            due = time.monotonic()
            while self.minutes < minutes:
                pieces = pieces or chance.sample(WORK + TROUBLE, len(WORK + TROUBLE))
                await self._do(found, pieces.pop(), share)
                if time.monotonic() >= due:
                    due = max(due + every_s, time.monotonic())
                    await asyncio.sleep(SETTLE_S)
                    self._look()
                    await self._read(found)
            await asyncio.sleep(retention_s + TIDY_S)
            await self._read(found)
        return sample(self.service)

    async def _do(self, found: Bench, piece: Piece, share: float) -> None:
        """One piece of work, and the rest after it."""
        found.piece = piece.__name__
        began, spent = time.monotonic(), self.service.spent_s()
        try:
            async with asyncio.timeout(PIECE_S):
                await piece(found)
        except Exception as error:  # whatever it is, it is told
            self.tally.raised(found.piece, error)
        self.tally.pieces[piece.__name__] += 1
        took = self.service.spent_s() - spent
        self.tally.seconds[piece.__name__] += took
        await asyncio.sleep(max(0.1, began + took / share - time.monotonic()))

    def _look(self) -> None:
        self.hours.append(self.minutes / 60)
        self.samples.append(sample(self.service))
        told = {name: round(value, 1) for name, value in self.samples[-1].items() if "own" in name or "process" in name}
        typer.echo(f"{self.minutes:.1f} min, {sum(self.tally.pieces.values())} pieces, {told}", err=True)
        for each in self.tally.unexpected[self._told :]:
            typer.echo(f"unexpected: {each}", err=True)
        self._told = len(self.tally.unexpected)

    async def _read(self, found: Bench) -> None:
        self.tally.read_log(self.service.log)
        self.tally.read_metrics((await found.http.get("/metrics")).text)

    def report(self, rest: dict[str, float]) -> dict[str, Any]:
        """All that was found. `rest`: the figures after the end."""
        figures = {}
        for name in sorted({name for each in self.samples for name in each}):
            values = [each.get(name, 0.0) for each in self.samples]
            found = trend(name, self.hours, values)
            figures[name] = {
                **{"first": values[0], "last": values[-1], "rest": rest.get(name, 0.0)},
                **{"per_hour": found.per_hour, "error": found.error, "verdict": found.verdict, "values": values},
            }
        return {
            "hours": self.minutes / 60,
            "sampled_at_hours": self.hours,
            "figures": figures,
            "left": {name: rest[name] for name in NOTHING_LEFT if rest.get(name)},
            "pieces": dict(self.tally.pieces),
            "cpu_seconds": dict(self.tally.seconds),
            "ends": dict(self.tally.ends),
            "answers": dict(self.tally.answers),
            "warnings": dict(self.tally.warnings),
            "unexpected": self.tally.unexpected,
        }


def main(
    *,
    minutes: Annotated[float, typer.Option(min=1, help="How long to work.")] = 120,
    share: Annotated[float, typer.Option(min=0.01, max=4, help="Of a core, that the service may use.")] = 0.4,
    every_s: Annotated[float, typer.Option(help="Seconds from one sample to the next.")] = 60,
    retention_s: Annotated[int, typer.Option(min=30, help="How long the service keeps jobs, in seconds.")] = 240,
    seed: Annotated[int, typer.Option(help="Of what is done when.")] = 0,
    folder: Annotated[Path | None, typer.Option(help="Where the service runs; unset: a temporary folder.")] = None,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for benchmark.json and .md.")] = None,
) -> None:
    """Work, look, print a table, and write both forms of it to `out`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this ends the service, too
    with tempfile.TemporaryDirectory() as temporary, watched(folder or Path(temporary), retention_s) as service:
        soak = Soak(service)
        rest = asyncio.run(soak.run(minutes, share, every_s, seed, retention_s))
        found = soak.report(rest)
    report = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": describe_machine(), **found}
    tell(report, as_markdown(report), out)
    grows = [name for name, row in report["figures"].items() if row["verdict"].startswith("grows")]
    if grows or report["left"] or report["unexpected"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
