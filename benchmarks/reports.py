"""What a benchmark leaves: its figures for programs, and for people."""

import json
from pathlib import Path
from typing import Any

import typer


def tell(report: dict[str, Any], markdown: str, out: Path | None) -> None:
    """Print the Markdown, and write both to a folder if there is to be one."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "benchmark.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (out / "benchmark.md").write_text(markdown, encoding="utf-8")
    typer.echo(markdown, nl=False)
