"""What came of it, as Markdown."""

from typing import Any

from worker.benchmark.table import machine_line, table


def as_markdown(report: dict[str, Any]) -> str:
    """All figures with their trends, and what was unexpected."""
    rows = [
        (name, *(f"{row[key]:.4g}" for key in ("first", "last", "rest")), _slope(row), row["verdict"])
        for name, row in report["figures"].items()
    ]
    parts = [
        "### Hours of mixed work",
        machine_line(report["machine"], report["date"]),
        f"{report['hours']:.2f} hours, {sum(report['pieces'].values())} pieces of work of {len(report['pieces'])} "
        f"kinds, {sum(report['ends'].values())} jobs followed to their ends. Figures are taken each minute between two "
        "pieces of work. The slope is that of a line through the second half of them, with its standard error.",
        table(("figure", "first", "last", "after the end", "an hour", "verdict"), rows),
        table(("answer", "times"), sorted(report["answers"].items())),
        table(("end of a job", "times"), sorted(report["ends"].items())),
    ]
    left = report["left"]
    parts.append(f"Left when retention had passed: {left}." if left else "Nothing was left when retention had passed.")
    parts += [f"- {each}" for each in report["unexpected"]] or ["Nothing unexpected happened."]
    return "\n\n".join(parts) + "\n"


def _slope(row: dict[str, Any]) -> str:
    return f"{row['per_hour']:+.3g} ± {row['error']:.2g}"
