"""The triangle mesh over the 478 landmarks."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.arrays import Array, Floats, Integers
from model.morphable.basis import HALF_CROP, MorphableModel
from model.morphable.controls import MEASURES

IRIS_RINGS = (469, 470, 471, 472, 474, 475, 476, 477)  # they overlap the lids, so they are no corners of the mesh
# Around the face clockwise, from one temple over the forehead to the other and back under the chin.
RIM = (
    *(234, 127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379),
    *(378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93),
)
RIM_OUT = 0.03  # of the way from its middle
PARTED = 0.12  # lips a few hundredths of the face apart
LEAST_AREA = 1e-3  # twice that of a triangle that is drawn, in square pixels
THIN = 0.5  # pixels of a triangle's height, below which an affine function counts as even on it
_SUBPIXEL_BITS = 4


class Raster(NamedTuple):
    """Which triangle of a mesh is seen where.

    number (H, W): numbers into corners (T, 3) of triangles, which are vertices of the mesh; -1 where there is none.
    """

    number: NDArray[np.int32]
    corners: Integers


def unfolded(morphable: MorphableModel) -> Tensor:
    """The mean face (478, 3) with its lips apart, and its rim a little further out.

    In the mean itself landmarks beside the ear lie on the rim, or outside of it; triangulated so, they left notches in
    turned cheeks.
    """
    jaw = next(measure for measure in MEASURES if measure.name == "jaw_open").vector()
    gradient = morphable.expression_basis @ jaw
    apart = PARTED / float(gradient.square().sum()) * gradient
    shape = morphable.shape(torch.zeros(1, morphable.identity_basis.shape[0]), apart[None])[0]
    rim = shape[list(RIM)]
    shape[list(RIM), :2] = (rim + RIM_OUT * (rim - rim.mean(0)))[:, :2]
    return shape


def face_mesh(morphable: MorphableModel) -> Array:
    """Corners (T, 3) of the triangles that the landmarks span, clockwise as seen from in front.

    They are the Delaunay triangulation of `unfolded`.
    """
    points = (unfolded(morphable)[:, :2] * HALF_CROP + HALF_CROP).numpy().astype(np.float32)
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


def edges_and_area(corners: Floats) -> tuple[Floats, Floats, Floats]:
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


def draw_triangles(points: Floats, triangles: Integers, size: tuple[int, int], *, both_sides: bool = False) -> Raster:
    """Which of `triangles` (T, 3) over `points` (V, 3), in pixels, is seen at each pixel of a map of `size` (H, W).

    Far ones are drawn first. They wind clockwise as seen, and what is turned away is not seen, unless `both_sides` are.
    """
    corners = points[triangles]
    _, _, area = edges_and_area(corners)
    order = np.flatnonzero((np.abs(area) if both_sides else area) > LEAST_AREA)
    order = order[np.argsort(-corners[order, :, 2].mean(1), kind="stable")]
    number = np.full(size, -1, np.int32)
    # A pixel's centre lies half a pixel in; fillConvexPoly counts from the centres.
    polygons = np.rint((corners[order, :, :2] - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    for index, polygon in enumerate(polygons):
        cv2.fillConvexPoly(number, polygon, index, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    return Raster(number, triangles[order])


def pixel_places(pixels: Integers, width: int) -> Floats:
    """Centres (N, 2) of pixels (N,), counted row by row, of a map that is `width` pixels wide."""
    return np.stack([pixels % width, pixels // width], -1).astype(np.float32) + np.float32(0.5)


def interpolated(raster: Raster, points: Floats, values: Floats) -> tuple[Integers, Floats]:
    """Pixels (N,) of a raster, counted row by row, and what values (V, C) of its vertices are there: (N, C).

    points (V, 2 or more): where the vertices were drawn. Pixels on a triangle's outline may lie a little outside it,
    and on a thin one an affine function then leads far away: it is held to what it is at the corners.
    """
    number, triangles = raster
    pixels = np.flatnonzero(number >= 0)
    of_pixel = number.take(pixels)
    corners, at_corners = points[triangles, :2], values[triangles]
    edge_1, edge_2, area = edges_and_area(corners)
    inverse = np.stack([edge_2[:, 1], -edge_2[:, 0], -edge_1[:, 1], edge_1[:, 0]], -1).reshape(-1, 2, 2)
    rises = np.stack([at_corners[:, 1] - at_corners[:, 0], at_corners[:, 2] - at_corners[:, 0]], -1)
    gradient = rises @ (inverse / area[:, None, None])  # (T, C, 2)
    offset = at_corners[:, 0] - (gradient @ corners[:, 0, :, None])[..., 0]
    places = pixel_places(pixels, number.shape[1])
    known = offset.take(of_pixel, 0)
    for axis in (0, 1):
        known += gradient[..., axis].take(of_pixel, 0) * places[:, axis, None]
    low, high = at_corners.min(1).take(of_pixel, 0), at_corners.max(1).take(of_pixel, 0)
    return pixels, np.clip(known, low, high, out=known)


def affine_maps(number: NDArray[np.int32], corners: Floats, values: Floats) -> Floats:
    """What the affine functions on triangles with `values` (T, 3, C) at `corners` (T, 3, 2 or more) are: (C, h, w).

    number (h, w): each pixel's triangle, or -1, where they are 0. On a thin triangle, whose outline's pixels may lie
    outside of it, a function counts as even: it would lead far away.
    """
    edge_1, edge_2, area = edges_and_area(corners)
    rises = values[:, 1:] - values[:, :1]
    wide = np.abs(area) > THIN * np.maximum(np.abs(edge_1[:, :2]).max(1), np.abs(edge_2[:, :2]).max(1))
    share = np.where(wide, 1 / np.where(wide, area, 1), 0)[:, None]
    along_x = (edge_2[:, 1:2] * rises[:, 0] - edge_1[:, 1:2] * rises[:, 1]) * share
    along_y = (edge_1[:, 0:1] * rises[:, 1] - edge_2[:, 0:1] * rises[:, 0]) * share
    middle = corners[..., :2].mean(1) - np.float32(0.5)  # counted from the pixels' centres
    offset = values.mean(1) - along_x * middle[:, :1] - along_y * middle[:, 1:]
    functions = np.zeros((3, values.shape[-1], len(corners) + 1), np.float32)  # the last one for where there is none
    functions[..., :-1] = offset.T, along_x.T, along_y.T
    height, width = number.shape
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    found = np.empty((values.shape[-1], height, width), np.float32)
    for index, (start, step_x, step_y) in enumerate(zip(*functions, strict=True)):
        start.take(number, out=found[index], mode="wrap")
        found[index] += step_x.take(number, mode="wrap") * x
        found[index] += step_y.take(number, mode="wrap") * y
    return found
