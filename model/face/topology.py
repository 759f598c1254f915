"""The 478 points of MediaPipe's face mesh with irises: which ones outline what, and which mirrors which.

"left" and "right" are the person's own; the person's right eye is at the viewer's left.
"""

import numpy as np

from model.arrays import Array

POINTS = 478

OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
IRISES = tuple(range(468, 478))

MOUTH = OUTER_LIPS + INNER_LIPS
EYES = RIGHT_EYE + LEFT_EYE
BROWS = RIGHT_BROW + LEFT_BROW

# What a closer look at an eye or the mouth sees: both regions of the eyes list mirrored points at the same place.
# fmt: off
_RIGHT_LIDS = (
    130, 25, 110, 24, 23, 22, 26, 112, 243, 190, 56, 28, 27, 29, 30, 247, 226, 31, 228, 229, 230, 231, 232, 233,
    244, 189, 221, 222, 223, 224, 225, 113,
)
_LEFT_LIDS = (
    359, 255, 339, 254, 253, 252, 256, 341, 463, 414, 286, 258, 257, 259, 260, 467, 446, 261, 448, 449, 450, 451,
    452, 453, 464, 413, 441, 442, 443, 444, 445, 342,
)
RIGHT_EYE_REGION = RIGHT_EYE + _RIGHT_LIDS + RIGHT_BROW + (468, 469, 470, 471, 472)
LEFT_EYE_REGION = LEFT_EYE + _LEFT_LIDS + LEFT_BROW + (473, 476, 475, 474, 477)
MOUTH_REGION = (
    *MOUTH,
    11, 12, 15, 16, 38, 41, 42, 62, 72, 73, 74, 76, 77, 85, 86, 89, 90, 96, 179, 180, 183, 184, 268, 271, 272, 292,
    302, 303, 304, 306, 307, 315, 316, 319, 320, 325, 403, 404, 407, 408,
)
# fmt: on

# Pairs whose difference is what a viewer sees of an expression: (upper, lower) lids and lips, iris and eye corner.
LID_PAIRS = ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373))
LIP_PAIRS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
GAZE_PAIRS = ((468, 33), (468, 133), (473, 263), (473, 362))


def mirror_permutation(shape: Array) -> Array:
    """Which point takes each point's place when the picture is mirrored: (N,) with p[p] = identity.

    Args:
        shape: mean frontal shape (N, 3), x right; it need not be centred nor quite frontal.

    The reflected shape is laid onto the shape itself by a rotation (Kabsch 1976), points are paired with the nearest
    reflected ones, and the pairs give a better rotation.
    """
    points = np.asarray(shape, dtype=np.float64) - np.mean(shape, axis=0)
    reflected = points * (-1.0, 1.0, 1.0)
    rotation = np.eye(3)
    permutation = np.full(len(points), -1)
    for _ in range(10):
        turned = reflected @ rotation
        turned = turned - turned.mean(axis=0)
        distance = np.square(turned[:, None] - points[None]).sum(-1)
        before, permutation = permutation, _matching(distance + distance.T)
        if np.array_equal(permutation, before):
            break  # the same pairs give the same rotation
        u, _, vt = np.linalg.svd(reflected.T @ points[permutation])
        rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return permutation


def _matching(distance: Array) -> Array:
    """Pair points (or a point with itself) greedily by a symmetric (N, N) distance, nearest first."""
    count = len(distance)
    nearest = distance.argmin(axis=1)
    if np.array_equal(nearest[nearest], np.arange(count)):
        return nearest  # each is the nearest of its own nearest: no order decides
    permutation = np.full(count, -1)
    left = count
    for flat in np.argsort(distance, axis=None, kind="stable"):
        first, second = divmod(int(flat), count)
        if permutation[first] < 0 and permutation[second] < 0:
            permutation[first], permutation[second] = second, first
            left -= 1 if first == second else 2
            if not left:
                break
    return permutation
