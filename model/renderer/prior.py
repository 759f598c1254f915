"""The prior flow: where the morphable model itself says that each pixel came from.

On the face it is the piecewise affine map of a triangle mesh, drawn far triangles first, so that what is hidden stays
hidden and closing lids cover the eye. Around it the displacement of the face's rim and of the scalp is spread by
Gaussian kernels that fade to nothing, so that hair and neck follow and the background stays.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from model.morphable import MorphableModel
from model.morphable.mesh import face_mesh
from model.renderer.config import PRIOR_SCALE
from model.renderer.warping import warp

# Widths of the kernels in pixels of the 256 crop; the floor is the sum of kernel values that counts half.
MIDDLE, MIDDLE_FLOOR = 14.0, 0.05
WIDE, WIDE_FLOOR = 28.0, 0.1
SEAM = 6.0  # pixels of the 256 crop over which the mesh gives way to the kernels

# Upper outline of the face from temple to temple, and the scalp as multiples of its distance from the face's centre.
_OUTLINE = (234, 127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356, 454)
# Lower outline, from temple to temple as well.
_JAW = (323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93)
_CENTRE, _EARS, _TOP, _CHIN = 168, (234, 454), 10, 152
# (outwards from the centre, backwards to the ears, upwards by the face's height), as shares of those lengths.
_SCALP = ((0.2, 0.25, 0.12), (0.4, 0.45, 0.3))
_SUBPIXEL_BITS = 4


def rim_and_scalp(landmarks: Tensor) -> Tensor:
    """The face's rim, from landmarks (B, 478, 3), and points of the scalp above it: (B, 36 + 34, 3).

    The scalp is a linear combination of landmarks, so that it turns with the head whatever the pose. Eyes, nose and
    mouth are left out: they move further when a head turns, and spread around it would slide the face over the head.
    """
    outline, centre = landmarks[:, _OUTLINE], landmarks[:, _CENTRE : _CENTRE + 1]
    backwards = landmarks[:, _EARS].mean(1, keepdim=True) - centre
    upwards = (landmarks[:, _TOP] - landmarks[:, _CHIN]).unsqueeze(1)
    rings = [outline + out * (outline - centre) + back * backwards + up * upwards for out, back, up in _SCALP]
    return torch.cat([outline, landmarks[:, _JAW], *rings], 1)


class Prior:
    """Computes prior flows from a person's landmarks in two motions."""

    def __init__(self, morphable: MorphableModel) -> None:
        self.triangles = face_mesh(morphable)

    def flow(self, source: Tensor, target: Tensor, *, size: int) -> Tensor:
        """Backward flow (B, 2, size/2, size/2), in pixels of its own map, that takes the source to the target.

        Args:
            source: landmarks (B, 478, 3) of the source, in pixels of the 256 crop.
            target: landmarks (B, 478, 3) that the result shall have.
            size: side of the images in pixels.
        """
        side = size // PRIOR_SCALE
        unit = 256.0 / side  # pixels of the 256 crop in one of the map
        here, there = target.float().cpu() / unit, source.float().cpu() / unit
        around = _spread(rim_and_scalp(here), rim_and_scalp(there), side=side, unit=unit)
        covered = np.zeros((len(here), 1, side, side), np.float32)
        mesh = np.zeros((len(here), 2, side, side), np.float32)
        for index in range(len(here)):
            mesh[index], covered[index, 0] = self._mesh_flow(here[index].numpy(), there[index].numpy(), side, unit)
        return torch.lerp(around, torch.from_numpy(mesh), torch.from_numpy(covered)).to(source.device)

    def moved(self, image: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Pictures (B, H, W, 3) uint8: image (H, W, 3) uint8 of landmarks (478, 3), warped to target (B, 478, 3)."""
        there = torch.from_numpy(target)
        flow = self.flow(torch.from_numpy(source).expand_as(there), there, size=image.shape[0])
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
        warped: np.ndarray = warp(pixels, flow, grid="aligned").round().byte().permute(0, 2, 3, 1).numpy()
        return warped

    def _mesh_flow(self, here: np.ndarray, there: np.ndarray, side: int, unit: float) -> tuple[np.ndarray, np.ndarray]:
        """Displacement (2, side, side) of the mesh, and its share (side, side), 0..1, which falls off at the rim.

        here, there: corners (N, 3) in the picture to be made and in the source, in pixels of the map.
        """
        corners, origins = here[self.triangles], there[self.triangles, :2]  # (T, 3, 3), (T, 3, 2)
        edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        area = edge_1[:, 0] * edge_2[:, 1] - edge_1[:, 1] * edge_2[:, 0]
        facing = np.flatnonzero(area > 1e-3)  # the mesh winds clockwise as seen; what is turned away is not seen
        order = facing[np.argsort(-corners[facing, :, 2].mean(1), kind="stable")]
        drawn = np.full((side, side), -1, np.int32)
        # A pixel's centre lies half a pixel in; fillConvexPoly counts from the centres.
        polygons = np.rint((corners[order, :, :2] - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        for number, polygon in enumerate(polygons):
            cv2.fillConvexPoly(drawn, polygon, number, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)

        # On each triangle the displacement is affine: d(p) = offset + gradient p.
        moved = (origins - corners[..., :2])[order]
        inverse = np.stack([edge_2[:, 1], -edge_2[:, 0], -edge_1[:, 1], edge_1[:, 0]], -1)[order].reshape(-1, 2, 2)
        sides = np.stack([moved[:, 1] - moved[:, 0], moved[:, 2] - moved[:, 0]], -1)
        gradient = sides @ (inverse / area[order, None, None])
        offset = moved[:, 0] - (gradient @ corners[order, 0, :2, None])[..., 0]
        rows, columns = np.nonzero(drawn >= 0)
        of_pixel = np.concatenate([gradient, offset[..., None]], -1)[drawn[rows, columns]]  # (pixels, 2, 3)
        flow = np.zeros((2, side, side), np.float32)
        for axis in (0, 1):
            by_x, by_y, constant = of_pixel[:, axis].T
            flow[axis, rows, columns] = by_x * (columns + 0.5) + by_y * (rows + 0.5) + constant

        inside = (drawn >= 0).astype(np.uint8)
        distance = cv2.distanceTransform(cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 3)
        return flow, np.minimum(distance[1:-1, 1:-1] * (unit / SEAM), 1.0)


def _spread(here: Tensor, there: Tensor, *, side: int, unit: float) -> Tensor:
    """Kernel-weighted displacement (B, 2, side, side) of points (B, N, 3) in pixels of the map."""
    displacement = (there - here)[..., :2]
    values = torch.cat([displacement, torch.ones_like(displacement[..., :1])], -1)  # dx, dy and the kernel's own sum
    coarse = side // 2  # kernels are smooth: half the map's sides are enough
    centres = (torch.arange(coarse, dtype=here.dtype) + 0.5) * 2.0
    flow = torch.zeros(())
    for width, floor in ((WIDE, WIDE_FLOOR), (MIDDLE, MIDDLE_FLOOR)):
        # Kernels are separable, so spreading is two small matrix products.
        column = torch.exp(-0.5 * ((here[..., 0, None] - centres) * (unit / width)).square())  # (B, N, w)
        row = torch.exp(-0.5 * ((here[..., 1, None] - centres) * (unit / width)).square())
        sums = torch.einsum("bnh,bnk,bnw->bkhw", row, values, column)
        total = sums[:, 2:]
        flow = torch.lerp(flow, sums[:, :2] / (total + 1e-6), total / (total + floor))
    return torch.nn.functional.interpolate(flow, size=(side, side), mode="bilinear", align_corners=False)
