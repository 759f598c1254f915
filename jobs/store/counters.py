"""What the job store counts as jobs begin and end: read from Redis, so it is the same at every front-end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

# Upper bounds in seconds of the histograms' buckets; beyond the last there is one more
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


@dataclass
class Histogram:
    """How many values fell into each bucket (the last one is unbounded), and their sum."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0


@dataclass(frozen=True)
class Counters:
    """Totals since the store began, by labels: `jobs` (kind, status), `errors` (kind, type), `made` (frames, images),
    `webhooks` (outcome);
    `histograms` of seconds, by name (wait, run, stage) and labels (kind, and the stage's name)."""

    jobs: dict[tuple[str, ...], int]
    errors: dict[tuple[str, ...], int]
    made: dict[tuple[str, ...], int]
    webhooks: dict[tuple[str, ...], int]
    histograms: dict[str, dict[tuple[str, ...], Histogram]]

    @classmethod
    def from_hash(cls, fields: Mapping[str, str]) -> Self:
        """Read the hash the scripts count in: fields are a name and labels between bars."""
        totals: dict[str, dict[tuple[str, ...], int]] = {name: {} for name in ("jobs", "errors", "made", "webhooks")}
        histograms: dict[str, dict[tuple[str, ...], Histogram]] = {"wait": {}, "run": {}, "stage": {}}
        for name, labels, value in _split(fields):
            if name in totals:
                totals[name][labels] = int(value)
                continue
            histogram = histograms[name].setdefault(labels[:-1], Histogram())
            if labels[-1] == "sum":
                histogram.sum = float(value)
            else:
                histogram.buckets[int(labels[-1]) - 1] = int(value)
        return cls(totals["jobs"], totals["errors"], totals["made"], totals["webhooks"], histograms)


def _split(fields: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for text, value in fields.items():
        name, *labels = text.split("|")
        yield name, tuple(labels), value
