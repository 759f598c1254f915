"""Lids, brows and gaze are told from the mouth."""

import numpy as np
import pytest
import torch

from model.morphable import MorphableModel
from model.morphable.controls import MEASURES, Controls
from model.morphable.upper_face import MOUTH, UPPER, upper_face


def measured(morphable: MorphableModel, change: np.ndarray) -> dict[str, float]:
    moved = torch.from_numpy(change) @ morphable.expression_basis.flatten(1).reshape(64, -1)
    return {measure.name: float((moved @ measure.vector().flatten()).item()) for measure in MEASURES}


@pytest.mark.parametrize("name", ["jaw_open", "blink_left", "brow_raise"])
def test_the_upper_face_keeps_what_is_its_own_and_nothing_of_the_mouth(name: str, morphable: MorphableModel) -> None:
    rest = np.zeros(70, np.float32)
    change = Controls.load(morphable).apply(np.zeros(80, np.float32), rest, {name: 1.0})[None, :64]
    before, after = measured(morphable, change[0]), measured(morphable, upper_face(change)[0])
    assert [after[upper] for upper in UPPER] == pytest.approx([before[upper] for upper in UPPER], abs=1e-4)
    assert [after[mouth] for mouth in MOUTH] == pytest.approx([0, 0, 0], abs=1e-4)


def test_twice_is_once() -> None:
    change = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    np.testing.assert_allclose(upper_face(upper_face(change)), upper_face(change), atol=1e-4)
