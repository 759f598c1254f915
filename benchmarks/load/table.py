"""The figures as Markdown, to stand among those of `pirenderer benchmark`."""

from typing import Any

from worker.benchmark.table import machine_line, table


def as_markdown(report: dict[str, Any]) -> str:
    """All that was measured, with its machine."""
    parts = [machine_line(report["machine"], report["date"])]
    if "submitted" in report:
        parts += _front_end(report)
    if "one_video" in report:
        parts += _one_video(report)
    return "\n\n".join(parts) + "\n"


def _one_video(report: dict[str, Any]) -> list[str]:
    rows = [(row["workers"], f"{row['seconds']:.2f}", f"{row['efficiency']:.1%}") for row in report["one_video"]]
    waits = report["images_beside"]
    return [
        "### One video over many workers",
        f"A video of {report['video_seconds']:g} s whose frames take {report['frame_ms']:g} ms each, from its claim to "
        "its end; efficiency is the frames' own time over that of all workers.",
        table(("workers", "seconds", "efficiency"), rows),
        f"{len(waits)} images came one by one while the only worker was at a video of {report['long_frames']} frames; "
        f"they waited {sorted(waits)[len(waits) // 2]:.2f} s (median), {max(waits):.2f} s at most.",
    ]


def _front_end(report: dict[str, Any]) -> list[str]:
    head = "", "a second", "p50, ms", "p99, ms", "longest, ms"
    fast = (
        ("submissions that name a portrait", report["submitted_by_id"]),
        ("submissions with the photo", report["submitted"]),
        ("polls", report["polled"]),
    )
    paced = (("submissions with the photo", report["at_rate"]["submitted"]), ("polls", report["at_rate"]["polled"]))
    events = report["at_rate"]["events"]
    answers = [*(row for _, row in fast), *(row for _, row in paced)]
    scaling = [(row["workers"], f"{row['per_second']:.1f}", f"{row['efficiency']:.1%}") for row in report["workers"]]
    return [
        "### The front-end",
        "The clients have a core of their own; Redis, workers that render nothing and the API, of which "
        f"{_processes(report['api_processes'])}, share the others. "
        f"{report['jobs']} jobs wait. As fast as 16 clients ask:",
        table(head, (_row(name, row) for name, row in fast)),
        f"At {report['rate']:g} requests a second, each sent when it is due however long answers take, while 8 "
        f"workers work and {report['listeners']} streams of events are open:",
        table(head, (_row(name, row) for name, row in paced)),
        f"The {events['count']} events came {events['p50_ms']:g} ms after they were made (p99 {events['p99_ms']:g} "
        f"ms). Of all answers {sum(row['failures'] for row in (*answers, events))} were failures.",
        "### Many workers",
        f"Jobs of {report['job_seconds']:g} s each; efficiency is a job's own time over the time from one end of a "
        "job to the next.",
        table(("workers", "jobs/s", "efficiency"), scaling),
    ]


def _processes(count: int) -> str:
    return "there is one process" if count == 1 else f"there are {count} processes"


def _row(name: str, row: dict[str, float]) -> tuple[object, ...]:
    return name, f"{row['per_second']:.0f}", row["p50_ms"], row["p99_ms"], row["most_ms"]
