"""Rows of 257 coefficients and 5 alignment numbers, and the 73 of them that are a motion to the authors' renderer."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model.arrays import Floats

MOTION_SPACE = "bfm-deep3d"
DIMENSION = 73

# Of a row (262,): what the network gives, then the alignment.
ROW: Mapping[str, slice] = {
    "identity": slice(0, 80),
    "expression": slice(80, 144),
    "texture": slice(144, 224),
    "angles": slice(224, 227),  # pitch, yaw, roll in radians
    "lighting": slice(227, 254),
    "translation": slice(254, 257),  # decimetres
    "source": slice(257, 259),  # width and height of the picture that was aligned
    "crop": slice(259, 262),  # scale, x, y
}

LMDB_ROW = 260  # numbers of a row in the authors' training data: it leaves out the size of the source

# Of a motion (73,).
EXPRESSION = slice(0, 64)
ANGLES = slice(64, 67)
CROP_SCALE = 70  # the larger, the smaller is the face in its picture
CROP_OFFSET = slice(71, 73)
POSE = slice(64, 73)  # angles, translation and crop


def motion_of(rows: NDArray[np.floating]) -> Floats:
    """Rows (..., 262) to motions (..., 73): expression 64, angles 3, translation 3, crop 3."""
    parts = [rows[..., ROW[name]] for name in ("expression", "angles", "translation", "crop")]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def motion_of_lmdb(rows: NDArray[np.floating]) -> Floats:
    """Rows (..., 260) of the authors' training data to motions (..., 73)."""
    crop = slice(ROW["source"].start, LMDB_ROW)
    parts = [*(rows[..., ROW[name]] for name in ("expression", "angles", "translation")), rows[..., crop]]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def driven(
    driver: Floats, own: Floats, neutral: Floats, *, relative: bool, expression_scale: float, pose_scale: float
) -> Floats:
    """The portrait's motion (T, 73): what the driver (T, 73) does, for a portrait whose own motion is `own` (73,).

    Relative, the change since `neutral` (T, 73) is put on top of the portrait's own, lengths in sizes of the face; else
    the driver's numbers are taken as they are but for the crop's scale, as the authors do across identities.
    """
    if not relative:
        taken = at_the_portraits_scale(driver, own)
        taken[:, EXPRESSION] *= expression_scale
        taken[:, ANGLES] *= pose_scale
        return taken
    change = driver - neutral
    ratio = own[CROP_SCALE] / neutral[:, CROP_SCALE]
    change[:, CROP_SCALE] *= ratio
    change[:, CROP_OFFSET] /= ratio[:, None]
    change[:, EXPRESSION] *= expression_scale
    change[:, POSE] *= pose_scale
    return own + change


def at_the_portraits_scale(driver: Floats, own: Floats) -> Floats:
    """A driver's motions (T, 73) with crop scales of the portrait's size, whose own motion is `own` (73,).

    A larger face is not a motion: the scales are multiplied by the portrait's over the driver's at the frame that is
    most like the portrait.
    """
    scaled = driver.copy()
    scaled[:, CROP_SCALE] *= own[CROP_SCALE] / driver[unlike(driver, own).argmin(), CROP_SCALE]
    return scaled


def unlike(motions: Floats, own: Floats) -> Floats:
    """How far motions (T, 73) are from one (73,): (T,), 0.3 of what expressions differ, 0.7 of angles."""
    expression = np.abs(motions[:, EXPRESSION] - own[EXPRESSION]).mean(axis=1)
    angles = np.abs(motions[:, ANGLES] - own[ANGLES]).mean(axis=1)
    far: Floats = 0.3 * expression + 0.7 * angles
    return far
