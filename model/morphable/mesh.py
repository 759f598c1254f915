"""The triangle mesh over the 478 landmarks."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from model.morphable.basis import MorphableModel
from model.morphable.controls import MEASURES

IRIS_RINGS = (469, 470, 471, 472, 474, 475, 476, 477)  # they overlap the lids, so they are no corners of the mesh


def face_mesh(morphable: MorphableModel) -> np.ndarray:
    """Corners (T, 3) of the triangles that the landmarks span, clockwise as seen from in front.

    They are the Delaunay triangulation of the mean face with its lips apart.
    """
    jaw = next(measure for measure in MEASURES if measure.name == "jaw_open").vector()
    gradient = morphable.expression_basis @ jaw
    apart = 0.12 / float(gradient.square().sum()) * gradient  # lips a few hundredths of the face apart
    shape = morphable.shape(torch.zeros(1, morphable.identity_basis.shape[0]), apart[None])
    points = (shape[0, :, :2] * 128.0 + 128.0).numpy().astype(np.float32)
    low, high = points.min(0) - 8, points.max(0) + 8
    division = cv2.Subdiv2D((int(low[0]), int(low[1]), int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1))
    numbers = {}
    for number in [index for index in range(len(points)) if index not in IRIS_RINGS]:
        numbers[division.insert((float(points[number, 0]), float(points[number, 1])))] = number
    triangles = []
    for triangle in np.asarray(division.getTriangleList()).reshape(-1, 3, 2):
        corners = [numbers.get(division.locate((float(x), float(y)))[2]) for x, y in triangle]
        if None not in corners:
            triangles.append(corners)
    found = np.array(triangles, np.int64)
    _, _, area = edges_and_area(points[found])
    found[area < 0] = found[area < 0][:, ::-1]
    return found


def edges_and_area(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of triangles (T, 3, 2 or more) the edges from the first corner to the others, (T, 2 or more) each, and the area.

    The area (T,) is twice that in the picture's plane, positive where the corners go clockwise as seen.
    """
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return edge_1, edge_2, edge_1[:, 0] * edge_2[:, 1] - edge_1[:, 1] * edge_2[:, 0]
