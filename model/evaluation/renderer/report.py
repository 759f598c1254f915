"""The tables of `model.evaluation.renderer.evaluate` as text."""

from collections.abc import Mapping
from typing import Any

HEADINGS = {
    "same_identity": "A clip's first frame driven to its own later frames",
    "same_identity_far_yaw": "Those of the pairs that differ by 15 degrees of yaw or more",
    "cross_identity": "A clip's first frame driven by another person's clip",
    "warp_back_20": "Photos turned by 20 degrees of yaw to either side, and back",
    "warp_back_30": "Photos turned by 30 degrees of yaw to either side, and back",
    "controls": "Named controls on photos",
}
SCALES = {
    "psnr": "dB, more is better",
    "psnr_doubtful": "the same, each pixel weighted by the prior's doubt of it",
    "perceptual": "distance by EfficientNet-Lite0's features, 0 is equal, less is better",
    "perceptual_doubtful": "the same, each place weighted by the prior's doubt of it",
    "ssim": "1 is equal, more is better",
    "l1": "share of the range of values, less is better",
    "l1_mouth": "the same, of the mouth's surroundings",
    "lpips": "AlexNet's, 0 is equal, less is better",
    "sharpness": "variance of the Laplacian as a ratio to the target's, across identities to the portrait's, 1 is best",
    "aed": "mean difference of open478's 64 expression coefficients, each of unit variance, as the extractor reads, "
    "less is better",
    "apd": "mean difference of yaw, pitch and roll in degrees, as the extractor reads, less is better",
    "identity": "cosine of the extractor's identity coefficients to the portrait's, more is better",
    "arcface": "cosine of a recognising network's features to the portrait's, more is better",
    "landmark_px": "mean distance of the extractor's 478 landmarks in pixels of 256, less is better",
    "flicker": "mean second difference in time as a ratio to the target's, 1 is best",
    "doubtful_share": "pixels that the prior doubts by more than 0.5, of all",
}
COLUMNS = {
    "psnr": "psnr dB",
    "psnr_doubtful": "doubtful dB",
    "perceptual_doubtful": "doubtful",
    "landmark_px": "landmarks px",
    "apd": "apd degrees",
}
WIDTH = 13


def with_scales(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The tables, and under `scales` what each of their figures is."""
    return {**tables, "scales": _scales(tables)}


def as_text(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """One block a table: a row a method, a column a figure; what has no methods is listed. Then the figures' scales."""
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
    told = (f"  {COLUMNS.get(figure, figure):30} {scale}" for figure, scale in _scales(tables).items())
    return "\n\n".join([*blocks, "\n".join(["What the figures are", *told])])


def _scales(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What each figure of the tables is."""
    rows = [row for table in tables.values() for row in table.values() if isinstance(row, Mapping)]
    found = {figure for part in (*tables.values(), *rows) for figure in part}
    return {figure: scale for figure, scale in SCALES.items() if figure in found}
