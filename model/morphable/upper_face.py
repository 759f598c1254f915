"""The part of an expression that is lids, brows and gaze, told from the mouth."""

import functools

import torch

from model.arrays import Floats
from model.morphable.basis import MorphableModel
from model.morphable.controls import MEASURES

UPPER = ("blink_left", "blink_right", "brow_raise", "gaze_x", "gaze_y")
MOUTH = ("jaw_open", "smile", "pucker")


def upper_face(change: Floats) -> Floats:
    """The part (T, 64) of a change of expression (T, 64) that lids, brows and gaze have in it.

    It is the likeliest change that moves the measures of UPPER as `change` does and those of MOUTH not at all: with G
    the gradients of both and m the measures, G^T (G G^T)^-1 m, as in model.morphable.controls.
    """
    return change @ _projection()


@functools.cache
def _projection() -> Floats:
    rows = {measure.name: measure.vector() for measure in MEASURES}
    gradients = torch.stack([rows[name] for name in UPPER + MOUTH]) @ MorphableModel.load().expression_basis.T
    directions = torch.linalg.pinv(gradients.double())[:, : len(UPPER)].T
    projection: Floats = (gradients[: len(UPPER)].double().T @ directions).float().numpy()
    return projection
