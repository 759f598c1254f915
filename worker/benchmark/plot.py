"""The figures of a benchmark as a picture: bars, in SVG."""

from typing import Any
from xml.sax.saxutils import escape

from worker.benchmark.table import STAGES, shown

WIDTH, LABELS, BAR, GAP, HEAD = 760, 280, 16, 6, 34
COLOUR, BEST = "#9db4c8", "#2f6690"

Bars = list[tuple[str, float, str, bool]]  # label, length, what is written behind it, whether it stands out


def as_svg(report: dict[str, Any]) -> str:
    """Frames a second of each engine, and the seconds of a video job's stages."""
    panels: list[tuple[str, Bars]] = []
    for engines in report.get("engines", []):
        bars = [
            (
                f"{row['engine']}, {row['batch_size']} x {row['streams']}",
                row["frames_per_second"],
                f"{row['frames_per_second']:.1f} ({row['ratio_to_eager']:.1f}x)",
                row.get("best", False),
            )
            for row in shown(engines["engines"])
        ]
        panels.append((f"{engines['renderer']}: frames/s by engine, batch x streams (times eager)", bars))
    if "video" in report:
        video = report["video"]
        stages = {**video["stages_seconds"], "the job": video["total_seconds"]}
        bars = [(STAGES.get(name, name), value, f"{value:.2f} s", name == "the job") for name, value in stages.items()]
        panels.append((f"a video of {video['speech_seconds']:g} s: seconds by stage, some at the same time", bars))
    return _drawn(panels)


def _drawn(panels: list[tuple[str, Bars]]) -> str:
    parts: list[str] = []
    y = 0
    for title, bars in panels:
        y += HEAD
        parts.append(f'<text x="8" y="{y - 10}" font-weight="bold">{escape(title)}</text>')
        longest = max((value for _, value, _, _ in bars), default=1.0)
        for label, value, note, stands_out in bars:
            width = max(1.0, (WIDTH - LABELS - 110) * value / longest)
            middle, colour = y + BAR - 4, BEST if stands_out else COLOUR
            parts += [
                f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end">{escape(label)}</text>',
                f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>',
                f'<text x="{LABELS + width + 6:.1f}" y="{middle}">{escape(note)}</text>',
            ]
            y += BAR + GAP
    height = y + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
