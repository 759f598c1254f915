"""The figures of `model.evaluation.audio.evaluate` as text: tables by source, then what there is in all alone."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from model.evaluation.audio.evaluate import BY_SOURCE, Figures

ALL = "all"
SMALLEST_CELL = 6  # characters
TAKE = {"take": "take", "mean_of_takes": "mean take"}
PREDICTED = {**TAKE, "regressor": "regressor", "loudness": "loudness"}
TOLD = {"share_of_pairs": "pairs", "share_of_pairs_of_long_clips": "of 2 s", "share_of_clips": "clips", "mean": "gain"}
NATS = {"true_sound": "own", "another_persons_sound": "another's", "gaussian_without_sound": "Gaussian"}
BESIDE = {"take": "take", "real": "real"}
SOUNDS = {"real": "real", "take": "take", "regressor": "regressor", "shuffled": "shuffled"}
# What stands over some columns, the figure, and which of its parts under which names; a number has no parts.
TABLES: Mapping[str, Sequence[tuple[str, str, Mapping[str, str]]]] = {
    "Held-out clips, and mouths off in pixels of 256; all that follows are means over clips, short ones as long ones": (
        ("clips", "clips", {}),
        ("people", "people", {}),
        ("minutes", "minutes", {}),
        ("mouth px", "mouth_distance_px", {**TAKE, "regressor": "regressor", "still": "at rest"}),
    ),
    "The mouth's opening against the true one: correlation with no shift (at rest: 0), and the best lag in frames": (
        ("correlation", "opening_correlation", PREDICTED),
        ("lag", "opening_best_lag_frames", PREDICTED),
    ),
    "Correlation of the mouth's width, and of how far the lips stand forward (their depth is rough)": (
        ("width", "width_correlation", PREDICTED),
        ("protrusion", "protrusion_correlation", PREDICTED),
    ),
    "Own sound told from another person's by the likelihood of what the face did, and of what the head did": (
        ("expression", "own_sound_gain_expression", TOLD),
        ("pose", "own_sound_gain_pose", TOLD),
    ),
    "The judge of lip synchrony: share of clips it finds within a frame of their sound, how far off, how surely": (
        ("within a frame", "judge_in_sync_share", SOUNDS),
        ("frames off", "judge_offset_frames", SOUNDS),
        ("confidence", "judge_confidence", SOUNDS),
    ),
    "Negative log-likelihood, nats a dimension, mean over frames": (
        ("expression", "nll_expression", NATS),
        ("pose", "nll_pose", NATS),
    ),
    "Motion: the opening's deviation and speed in half sides of the crop and seconds, and the head's range": (
        ("deviation", "opening_deviation", BESIDE),
        ("speed", "opening_speed", BESIDE),
        ("yaw", "yaw_range_degrees", BESIDE),
        ("pitch", "pitch_range_degrees", BESIDE),
        ("blinks a minute", "blinks_per_minute", BESIDE),
    ),
    "Correlation of the opening with the sound's loudness, and of the motions of two seeds": (
        ("loudness", "energy_correlation", BESIDE),
        ("seeds", "correlation_between_seeds", {"opening": "opening", "yaw": "yaw"}),
    ),
}


def as_text(figures: Figures) -> str:
    """Tables by source, then the other figures, in all: a row each, those of the same columns in one table."""
    groups = {ALL: figures}
    if isinstance(sources := figures.get(BY_SOURCE), Mapping):
        groups |= {name: group for name, group in sources.items() if isinstance(group, Mapping)}
    shown = {figure for columns in TABLES.values() for _, figure, _ in columns} | {BY_SOURCE}
    blocks = []
    for title, columns in TABLES.items():
        if there := [column for column in columns if column[1] in figures]:
            blocks.append(f"{title}\n{_by_source(there, groups)}")
    return "\n\n".join([*blocks, *_listed({name: value for name, value in figures.items() if name not in shown})])


def _by_source(columns: Sequence[tuple[str, str, Mapping[str, str]]], groups: Mapping[str, Figures]) -> str:
    """One table: a row a group."""
    headings: list[tuple[str, str]] = []
    rows: dict[str, list[object]] = {name: [] for name in groups}
    for over, figure, parts in columns:
        headings += [(over, heading) for heading in parts.values()] or [("", over)]
        for name, group in groups.items():
            value = group.get(figure)
            rows[name] += [value.get(part) for part in parts] if isinstance(value, Mapping) else [value]
    return _grid(headings, rows)


def _listed(figures: Figures) -> list[str]:
    """Tables: one for successive figures whose columns are among those of the first, one for each that is deeper."""
    tables: list[dict[str, Figures]] = []
    deeper: list[str] = []
    for name, figure in figures.items():
        row = figure if isinstance(figure, Mapping) else {"": figure}
        if any(isinstance(part, Mapping) for part in row.values()):
            deeper += [f"{name}\n{block}" for block in _listed(row)]
        elif tables and row.keys() <= next(iter(tables[-1].values())).keys():
            tables[-1][name] = row
        else:
            tables.append({name: row})
    blocks = []
    for rows in tables:
        columns = list(next(iter(rows.values())))
        cells = {name: [row.get(column) for column in columns] for name, row in rows.items()}
        blocks.append(_grid([("", column) for column in columns], cells))
    return blocks + deeper


def _grid(headings: Sequence[tuple[str, str]], rows: Mapping[str, Sequence[object]]) -> str:
    """Text of rows under headings, each with what stands over it and its like."""
    widths = [2 + max(SMALLEST_CELL, len(heading)) for _, heading in headings]
    name = max(map(len, rows))
    above = ""
    for over, group in groupby(zip(headings, widths, strict=True), key=lambda column: column[0][0]):
        width = sum(width for _, width in group)
        above += f"{over} ".rjust(len(over) + 3).ljust(width, "-") if over else " " * width
    lines = [above, "".join(f"{heading:>{width}}" for (_, heading), width in zip(headings, widths, strict=True))]
    lines = [" " * name + line for line in lines if line.strip()]
    for row, cells in rows.items():
        lines.append(f"{row:{name}}" + "".join(f"{_text(c):>{w}}" for c, w in zip(cells, widths, strict=True)))
    return "\n".join(line.rstrip() for line in lines)


def _text(cell: object) -> str:
    """A figure in as many places as tell something; empty where there is none."""
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell.is_integer() else f"{cell:.3f}" if abs(cell) < 100 else f"{cell:.1f}"
    return "" if cell is None else f"  {cell}"
