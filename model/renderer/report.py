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
SCALES = {
    "psnr": "dB",
    "ssim": "1 is equal",
    "l1": "share of the range of values",
    "l1_mouth": "the same, of the mouth's surroundings",
    "lpips": "AlexNet's, 0 is equal",
    "sharpness": "variance of the Laplacian as a ratio to the target's, across identities to the portrait's",
    "aed": "mean difference of open478's 64 expression coefficients, each of unit variance, as the extractor reads",
    "apd": "mean difference of yaw, pitch and roll in degrees, as the extractor reads",
    "identity": "cosine of the extractor's identity coefficients to the portrait's",
    "arcface": "cosine of a recognising network's features to the portrait's",
    "landmark_px": "mean distance of the extractor's 478 landmarks in pixels of 256",
    "flicker": "mean second difference in time as a ratio to the target's",
}
COLUMNS = {"psnr": "psnr dB", "landmark_px": "landmarks px", "apd": "apd degrees"}
WIDTH = 13


def with_scales(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The tables, and under `scales` what each of their figures is."""
    methods = [row for table in tables.values() for row in table.values() if isinstance(row, Mapping)]
    found = {figure for row in methods for figure in row}
    return {**tables, "scales": {figure: scale for figure, scale in SCALES.items() if figure in found}}


def as_text(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """One block a table: a row a method, a column a figure; what has no methods is listed."""
    blocks = []
    for name, table in tables.items():
        counts = ", ".join(f"{value} {key}" for key, value in table.items() if isinstance(value, int))
        methods = {key: value for key, value in table.items() if isinstance(value, Mapping)}
        lines = [f"{HEADINGS.get(name, name)} ({counts})"]
        columns = list(dict.fromkeys(figure for figures in methods.values() for figure in figures))
        if methods:
            lines.append(" " * WIDTH + "".join(f"{COLUMNS.get(figure, figure):>{WIDTH}}" for figure in columns))
        for method, figures in methods.items():
            cells = (f"{figures[figure]:>{WIDTH}.3f}" if figure in figures else " " * WIDTH for figure in columns)
            lines.append(f"{method:{WIDTH}}" + "".join(cells))
        lines += [f"  {key:30} {value:g}" for key, value in table.items() if isinstance(value, float)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
