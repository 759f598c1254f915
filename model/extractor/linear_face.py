"""The linear face behind the network's output: mean shape and principal components, and the 2-D pose of a face."""

import numpy as np

from model.arrays import Array, Landmarks
from model.extractor.window import WINDOW_PER_FACE_HEIGHT, Window


def face_pose(landmarks: Landmarks, reference: Array) -> Array:
    """Poses (..., 4) of landmarks (..., N, 3) against `reference` (N, 3): x, y, log_scale, angle.

    The similarity that lays the reference onto the landmarks with least squares in the picture's plane; written with
    complex numbers it is w = <landmarks, reference> / <reference, reference>.
    """
    points = landmarks[..., 0] + 1j * landmarks[..., 1]
    model = reference[:, 0] + 1j * reference[:, 1]
    middle = model.mean()
    centre = points.mean(axis=-1, keepdims=True)
    factor = ((points - centre) @ (model - middle).conj()) / np.square(np.abs(model - middle)).sum()
    place = centre[..., 0] - factor * middle
    return np.stack([place.real, place.imag, np.log(np.abs(factor)), np.angle(factor)], axis=-1)


def face_window(landmarks: Landmarks, reference: Array) -> Window:
    """The window in which landmarks (N, 3), in source pixels, stand upright, centred and at the reference's size."""
    x, y, log_scale, angle = face_pose(landmarks, reference)
    return Window(float(x), float(y), 2 * float(np.exp(log_scale)), float(angle))


def linear_face(
    landmarks: Landmarks, permutation: Array | None, components: int, *, maximum: int = 4000
) -> tuple[Array, Array]:
    """Mean face (478, 3) in units of its window and its components (K, 478 * 3) of unit variance.

    Every face (N, 478, 3) is first laid onto the mean by a similarity in the picture's plane, with its mirror image
    (when `permutation` says which point is which there), so that the mean is symmetric.
    """
    faces = landmarks[:: max(1, len(landmarks) // maximum)].astype(np.float64)
    if permutation is not None:
        faces = np.concatenate([faces, faces[:, permutation] * (-1.0, 1.0, 1.0)])
    # the mean of faces as they are: a first guess that stands upright and, with mirror images, is symmetric
    mean = (faces - faces.mean(axis=1, keepdims=True)).mean(axis=0)
    for _ in range(4):
        mean = _in_window_units(mean)
        aligned = _aligned(faces, mean)
        mean = aligned.mean(axis=0)
    mean = _in_window_units(mean)
    aligned = _aligned(faces, mean)
    residual = (aligned - mean).reshape(len(aligned), -1)
    _, singular, rows = np.linalg.svd(residual, full_matrices=False)
    basis = rows[:components] * (singular[:components, None] / np.sqrt(len(residual)))
    return mean.astype(np.float32), basis.astype(np.float32)


def _in_window_units(shape: Array) -> Array:
    low, high = shape.min(axis=0), shape.max(axis=0)
    centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, 0.0])
    scaled: Array = (shape - centre) * (2.0 / WINDOW_PER_FACE_HEIGHT / (high[1] - low[1]))
    return scaled


def _aligned(faces: Array, reference: Array) -> Array:
    pose = face_pose(faces, reference)
    factor = np.exp(pose[:, 2] + 1j * pose[:, 3])[:, None]
    plane = (faces[..., 0] + 1j * faces[..., 1] - (pose[:, 0] + 1j * pose[:, 1])[:, None]) / factor
    return np.stack([plane.real, plane.imag, faces[..., 2] / np.abs(factor)], axis=-1)
