"""The triangle mesh over the 478 landmarks."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.morphable.basis import MorphableModel
from model.morphable.controls import MEASURES

IRIS_RINGS = (469, 470, 471, 472, 474, 475, 476, 477)  # they overlap the lids, so they are no corners of the mesh
PARTED = 0.12  # lips a few hundredths of the face apart
LEAST_AREA = 1e-3  # twice that of a triangle that is drawn, in square pixels
_SUBPIXEL_BITS = 4

Floats = NDArray[np.float32]


class Drawing(NamedTuple):
    """Which triangle of a mesh is seen where.

    number (S, S): numbers into corners (T, 3) of triangles, which are vertices of the mesh; -1 where there is none.
    """

    number: NDArray[np.int32]
    corners: NDArray[np.int64]


def parted_lips(morphable: MorphableModel) -> Tensor:
    """The mean face (478, 3) with its lips apart."""
    jaw = next(measure for measure in MEASURES if measure.name == "jaw_open").vector()
    gradient = morphable.expression_basis @ jaw
    apart = PARTED / float(gradient.square().sum()) * gradient
    return morphable.shape(torch.zeros(1, morphable.identity_basis.shape[0]), apart[None])[0]


def face_mesh(morphable: MorphableModel) -> np.ndarray:
    """Corners (T, 3) of the triangles that the landmarks span, clockwise as seen from in front.

    They are the Delaunay triangulation of the mean face with its lips apart.
    """
    points = (parted_lips(morphable)[:, :2] * 128.0 + 128.0).numpy().astype(np.float32)
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


def normals(points: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals (P, 3) of a mesh, its triangles weighted by their areas, towards the viewer for faces."""
    corners = points[triangles]
    of_triangles = torch.linalg.cross(corners[:, 2] - corners[:, 0], corners[:, 1] - corners[:, 0])
    summed = torch.zeros_like(points).index_add_(0, triangles.flatten(), of_triangles.repeat_interleave(3, 0))
    return F.normalize(summed, dim=-1)


def draw_triangles(points: Floats, triangles: NDArray[np.int64], side: int, *, sort: bool = True, both_sides: bool = False) -> Drawing:
    """Which of `triangles` (T, 3) over `points` (V, 3), in pixels, is seen at each pixel of a map of `side` pixels.

    They wind clockwise as seen; what is turned away is not seen. Far ones are drawn first, or the first where not to
    `sort`.
    """
    corners = points[triangles]
    _, _, area = edges_and_area(corners)
    order = np.flatnonzero((np.abs(area) if both_sides else area) > LEAST_AREA)
    if sort:
        order = order[np.argsort(-corners[order, :, 2].mean(1), kind="stable")]
    number = np.full((side, side), -1, np.int32)
    # A pixel's centre lies half a pixel in; fillConvexPoly counts from the centres.
    polygons = np.rint((corners[order, :, :2] - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    for index, polygon in enumerate(polygons):
        cv2.fillConvexPoly(number, polygon, index, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    return Drawing(number, triangles[order])


def pixel_places(pixels: NDArray[np.int64], side: int) -> Floats:
    """Centres (N, 2) of pixels (N,), counted row by row, of a map of `side` pixels."""
    return np.stack([pixels % side, pixels // side], -1).astype(np.float32) + np.float32(0.5)


def interpolated(
    drawing: Drawing, points: Floats, values: Floats, *, only: Floats | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """Pixels (N,) of a drawing, counted row by row, and what values (V, C) of its vertices are there: (N, C).

    points (V, 2 or more): where the vertices were drawn. With `only` (V,) pixels are left out whose triangle has it 0
    at all corners.

    Pixels on a triangle's outline may lie a little outside it, and on a thin one an affine function then leads far
    away: it is held to what it is at the corners.
    """
    number, triangles = drawing
    shown = number >= 0
    if only is not None and len(triangles):
        keeps = (only[triangles] > 0).any(1)
        shown &= keeps.take(number)
        compact = np.cumsum(keeps) - 1
        triangles = triangles[keeps]
    pixels = np.flatnonzero(shown)
    of_pixel = number.take(pixels)
    if only is not None and len(pixels):
        of_pixel = compact.take(of_pixel)
    corners, corner_values = points[triangles, :2], values[triangles]
    edge_1, edge_2, area = edges_and_area(corners)
    inverse = np.stack([edge_2[:, 1], -edge_2[:, 0], -edge_1[:, 1], edge_1[:, 0]], -1).reshape(-1, 2, 2)
    rises = np.stack([corner_values[:, 1] - corner_values[:, 0], corner_values[:, 2] - corner_values[:, 0]], -1)
    gradient = rises @ (inverse / area[:, None, None])  # (T, C, 2)
    offset = corner_values[:, 0] - (gradient @ corners[:, 0, :, None])[..., 0]
    places = pixel_places(pixels, number.shape[-1])
    known = offset.take(of_pixel, 0)
    for axis in (0, 1):
        known += gradient[..., axis].take(of_pixel, 0) * places[:, axis, None]
    low, high = corner_values.min(1).take(of_pixel, 0), corner_values.max(1).take(of_pixel, 0)
    return pixels, np.clip(known, low, high, out=known)
