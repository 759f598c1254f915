"""The figures as Markdown, to stand among those of docs/performance.md."""

from typing import Any

from benchmarks.live.service import ROLES
from worker.benchmark.table import machine_line, table


def as_markdown(report: dict[str, Any]) -> str:
    """All that was measured, with its machine."""
    parts = ["### Live sessions", machine_line(report["machine"], report["date"])]
    if "drives" in report:
        parts += _drives(report)
    if "start" in report:
        start = report["start"]
        parts.append(
            f"From the call to the first picture: {start['first']:.2f} s with a worker that has made nothing yet, "
            f"{start['new']:.2f} s with a portrait that is new to it, {start['known']:.2f} s with one that it knows "
            "(medians)."
        )
    if "death" in report:
        rows = [(workers, f"{seconds:.2f}") for workers, seconds in report["death"].items()]
        parts += [
            "The process that renders is killed in a session; seconds until there is a picture of what was asked for "
            "afterwards:",
            table(("workers", "seconds"), rows),
        ]
    if "jobs" in report:
        parts += _jobs(report)
    return "\n\n".join(parts) + "\n"


def _drives(report: dict[str, Any]) -> list[str]:
    rows = [
        (
            name,
            f"{row['per_second']:.1f}",
            f"{row['kilobytes']:.0f}",
            *(f"{row[key]:.0f}" for key in ("p50_ms", "p99_ms")),
            *(f"{row[role]:.2f}" for role in ROLES),
            *(f"{row[key]:.0f}" for key in ("idle_mib", "session_mib")),
        )
        for name, row in report["drives"].items()
    ]
    size, seconds = report["asked"]["size"], report["asked"]["seconds"]
    return [
        f"One worker, {size}x{size} pixels, {seconds:g} s each. Delays are, of controls at 30 a second, from each to "
        "the first picture of it or of a later one; of sound in real time, that of a picture's time behind the sound "
        "that was sent when it came; of a camera at 15 pictures a second, from a tilt of the head to the picture that "
        "is half-way there. Processor-seconds are those of a second; memory is what the worker's processes hold alone.",
        table(
            (
                *("driven by", "pictures/s", "kB each", "delay p50, ms", "p99, ms"),
                *(f"{role}, CPU-s/s" for role in ROLES),
                *("memory before, MiB", "in the session, MiB"),
            ),
            rows,
        ),
    ]


def _jobs(report: dict[str, Any]) -> list[str]:
    rows = [
        (
            workers,
            row["jobs"],
            *(f"{row[key]:.2f}" for key in ("job_s", "longest_job_s")),
            f"{row['per_second']:.1f}",
            *(f"{row[key]:.0f}" for key in ("gap_ms", "longest_gap_ms")),
        )
        for workers, row in report["jobs"].items()
    ]
    return [
        "An image every two seconds beside a session that is driven by controls; the gap is that between two of the "
        "session's pictures:",
        table(
            (
                *("workers", "images", "seconds, median", "longest", "pictures/s"),
                *("gap, median, ms", "longest, ms"),
            ),
            rows,
        ),
    ]
