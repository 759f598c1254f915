"""The tables of `model.renderer.evaluate` as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADINGS = {
    "same_identity": "A clip's first frame driven to its own later frames",
    "same_identity_far_yaw": "Those of the pairs that differ by 15 degrees of yaw or more",
    "cross_identity": "A clip's first frame driven by another person's clip",
    "controls": "Named controls on photos",
}
UNITS = {"psnr": "psnr dB", "landmark_px": "landmarks px", "apd": "apd degrees"}
WIDTH = 13


def as_text(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """One block a table: a row a method, a column a figure; what has no methods is listed."""
    blocks = []
    for name, table in tables.items():
        counts = ", ".join(f"{value} {key}" for key, value in table.items() if isinstance(value, int))
        methods = {key: value for key, value in table.items() if isinstance(value, Mapping)}
        lines = [f"{HEADINGS.get(name, name)} ({counts})"]
        columns = list(dict.fromkeys(figure for figures in methods.values() for figure in figures))
        if methods:
            lines.append(" " * WIDTH + "".join(f"{UNITS.get(figure, figure):>{WIDTH}}" for figure in columns))
        for method, figures in methods.items():
            cells = (f"{figures[figure]:>{WIDTH}.3f}" if figure in figures else " " * WIDTH for figure in columns)
            lines.append(f"{method:{WIDTH}}" + "".join(cells))
        lines += [f"  {key:30} {value:g}" for key, value in table.items() if isinstance(value, float)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
