"""All figures of the extractor, and the sheet to look at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model.animation.animator import Animator
from model.arrays import Pixels
from model.data.corpus import read_corpus, spread
from model.evaluation.extractor.finding import finding_figures
from model.evaluation.extractor.portraits import read_portraits, turned_portraits
from model.evaluation.extractor.reading import reading_figures
from model.evaluation.extractor.speed import speed_figures
from model.evaluation.morphable.evaluate import held_out_figures
from model.evaluation.renderer.fidelity import control_sheet
from model.extractor.extractor import Extractor
from model.extractor.reader import FaceReader
from model.morphable import MorphableModel

SHEET_PEOPLE = 10
SHEET_CONTROLS: Mapping[str, Mapping[str, float]] = {
    "yaw 20": {"yaw": 20.0},
    "jaw_open 0.7": {"jaw_open": 0.7},
    "smile 1": {"smile": 1.0},
}


def evaluate(
    data: Path, *, weights: Path | None = None, sheet: Path | None = None, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Figures on the val split of a corpus folder, by subject.

    morphable: how near the morphable model comes to landmarks, and how far yaw leaks into expression.
    clips, stills, together: landmarks, angles and confidence read from a roughly right start.
    finding: faces pasted into scenes, and scenes without one. speed: size of the weights, and times on this machine.

    Args:
        data: the corpus folder.
        weights: folder of the extractor's weights; the packaged ones when None.
        sheet: where a picture of ten photos goes: the landmarks found, and three named controls rendered from them.
        seed: of all that is drawn at random.

    Raises DataError: the corpus is not readable.
    Raises WeightsError: the weights are not usable.
    """
    extractor = Extractor(FaceReader.load(weights), MorphableModel.load())
    clips, stills = (read_corpus(data, split="val", kind=kind) for kind in ("clip", "still"))
    rng = np.random.default_rng(seed)
    portraits = read_portraits(stills)
    found: dict[str, dict[str, Any]] = {"morphable": held_out_figures(extractor.morphable, data)}
    found |= reading_figures(extractor, clips, stills, rng)
    found["finding"] = finding_figures(extractor, portraits, turned_portraits(clips, extractor.morphable), rng)
    found["speed"] = speed_figures(extractor, clips, portraits, weights)
    if sheet is not None:
        _draw(extractor, [portrait.picture for portrait in spread(portraits, SHEET_PEOPLE)], sheet)
    return found


def _draw(extractor: Extractor, photos: list[Pixels], path: Path) -> None:
    portraits = [extractor.extract(photo) for photo in photos]
    control_sheet(Animator.load(), extractor.morphable, portraits, path, shown=SHEET_CONTROLS, marked=True)
