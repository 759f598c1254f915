"""The figures of a benchmark as Markdown."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

STAGES = {
    "audio": "decode the speech",
    "decode": "decode the portrait",
    "face": "find the face, crop, landmarks, identity",
    "motion": "speech features and flow",
    "network": "the network",
    "prior": "prior and mouths",
    "paste": "paste back",
    "encode": "convert and encode",
}


def as_markdown(report: dict[str, Any]) -> str:
    """Everything that was measured, with its machine."""
    parts = [machine_line(report["machine"], report["date"])]
    parts += [_engines(engines) for engines in report.get("engines", [])]
    parts += [write(report[name]) for name, write in _PARTS.items() if name in report]
    return "\n\n".join(parts) + "\n"


def shown(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of each engine the run one frame at a time, and the fastest if that is another."""
    for row in rows:
        if row.get("best") or row["batch_size"] == row["streams"] == 1:
            yield row


def machine_line(machine: dict[str, Any], date: str) -> str:
    """What was measured on, and when."""
    features = f" ({', '.join(machine['features'])})" if machine["features"] else ""
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Measured {date} on {machine['cores']} cores of {machine['processor']}{features}, "
        f"{machine['memory_gib']} GiB of memory{gpu}; {machine['system']}; {versions}."
    )


def _engines(report: dict[str, Any]) -> str:
    rows = [
        (
            f"**{row['engine']}**" if row.get("best") else row["engine"],
            row["batch_size"],
            row["streams"],
            f"{row['ms_per_frame']:.1f}",
            f"{row['frames_per_second']:.1f}",
            f"{row['ratio_to_eager']:.2f}",
            f"{row['psnr_db']:.1f}" if "psnr_db" in row else "",
            f"{row['largest_difference']:.1g}" if "largest_difference" in row else "",
            row.get("peak_memory_mib", ""),
            row.get("peak_device_memory_mib", ""),
        )
        for row in shown(report["engines"])
    ]
    head = "engine", "batch", "streams", "ms/frame", "frames/s", "times eager", "PSNR, dB", "largest difference"
    memory = "peak memory, MiB", "of the device, MiB"
    width = len(head) + (2 if any(row[-1] for row in rows) else 1)
    libraries = next((row["libraries_mib"] for row in report["engines"] if "libraries_mib" in row), None)
    text = (
        f"### Engines: {report['renderer']}\n\n"
        f"{report['size']}x{report['size']}, {report['gflop_per_frame']:.1f} GFLOP a frame "
        f"({report['gflop_per_frame_as_published']:.1f} with nothing shared between frames); weights: "
        f"{report['weights']}. Medians of {report['rounds']} interleaved rounds of {report['frames']} frames; each "
        "engine at its fastest in bold. Memory is that of a process of its own"
        + (f", of which {libraries} MiB are there before anything is loaded" if libraries else "")
        + ". Differences are to the eager network, pictures being in [-1, 1].\n\n"
        + table((head + memory)[:width], (row[:width] for row in rows))
    )
    skipped = [f"- {name}: {reason}" for name, reason in report["skipped"].items()]
    return text + ("\n\nLeft out:\n\n" + "\n".join(skipped) if skipped else "")


def _video(report: dict[str, Any]) -> str:
    width, height = report["photo"]
    rows = [
        (STAGES.get(stage, stage), f"{seconds:.2f}", f"{seconds / report['frames'] * 1000:.1f}")
        for stage, seconds in report["stages_seconds"].items()
    ]
    rows.append(("**the job**", f"**{report['total_seconds']:.2f}**", ""))
    rows.append(("the network alone", f"{report['network_alone_seconds']:.2f}", ""))
    return (
        f"### A video job\n\n{report['speech_seconds']:g} s of speech, {report['frames']} frames, a photo of "
        f"{width}x{height} pasted back; {report['engine']}, {report['batch_size']} frames at a time. Pasting and "
        "encoding run while the next frames are rendered, so stages add up to more than the job takes. "
        f"Everything but the network alone is {report['around']:.1%} of the job (in work of the cores: "
        f"{report['total_core_seconds']:.1f} s, of which {report['network_alone_core_seconds']:.1f} s the network).\n\n"
        + table(("stage", "seconds", "ms/frame"), rows)
    )


def _start(report: dict[str, Any]) -> str:
    rows = [
        (f"{name} cache", *(f"{row[f'{key}_seconds']:.1f}" for key in ("imported", "loaded", "first_image")))
        for name, row in report.items()
    ]
    return "### A worker's start\n\nSeconds since its process began; the cache is that of compiled graphs.\n\n" + table(
        ("", "libraries imported", "models loaded", "first image made"), rows
    )


def _length(report: dict[str, Any]) -> str:
    rows = [(f"{row['seconds']:g} s", row["frames"], row["peak_mib"]) for row in (report["short"], report["long"])]
    return (
        "### Memory over a video's length\n\nPeak memory of a process that makes one video from speech, with a network "
        f"of next to no channels and all else as served: the long one needs {report['growth_mib']:.0f} MiB more.\n\n"
        + table(("speech", "frames", "peak memory, MiB"), rows)
    )


def _paste(report: dict[str, Any]) -> str:
    width, height = report["photo"]
    return (
        f"### Pasting alone\n\nMoving crops of {report['crop_side']} pixels go back into a photo of {width}x{height} "
        f"at {report['frames_per_second']:.0f} frames/s, {report['ms_per_frame']:.1f} ms a frame."
    )


def _live(report: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"{row['size']}x{row['size']}",
            f"{row['pictures_per_second']:.1f}",
            *(f"{row[when][share]:.0f}" for when in ("busy_ms", "alone_ms") for share in ("p50", "p99")),
            f"{row['core_ms_per_picture']:.0f}",
        )
        for row in report
    ]
    head = "pictures", "a second", "busy, p50", "p99", "alone, p50", "p99", "of the cores"
    return (
        "### Live pictures\n\nMilliseconds from a motion to its JPEG: drawn as soon as there is room for one more, and "
        f"when the one before is there; {report[0]['pictures']} pictures each.\n\n" + table(head, rows)
    )


_PARTS: dict[str, Callable[[Any], str]] = {
    "video": _video,
    "paste": _paste,
    "live": _live,
    "start": _start,
    "length": _length,
}


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """A table of Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
