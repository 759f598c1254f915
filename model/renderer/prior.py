"""The prior flow: where the morphable model itself says that each pixel came from.

On the face it is the piecewise affine map of a triangle mesh, drawn far triangles first, so that what is hidden stays
hidden and closing lids cover the eye. Around it hair, ears and neck follow the head as `Surroundings` has learned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from torch import Tensor

from model.morphable import MorphableModel
from model.morphable.mesh import face_mesh
from model.renderer.config import PRIOR_SCALE
from model.renderer.surroundings import Surroundings
from model.renderer.warping import warp

SEAM = 8.0  # pixels of the 256 crop over which the mesh gives way to the surroundings
_SUBPIXEL_BITS = 4


class Prior:
    """Computes prior flows from a person's landmarks in two motions."""

    def __init__(self, morphable: MorphableModel, surroundings: Surroundings) -> None:
        self.triangles = face_mesh(morphable)
        self.surroundings = surroundings

    @classmethod
    def load(cls, morphable: MorphableModel, directory: Path | None = None) -> Self:
        """With the released surroundings, or those in `directory`.

        Raises:
            WeightsError: a file is missing, damaged or does not fit.
        """
        return cls(morphable, Surroundings.load(directory))

    def flow(self, source: Tensor, target: Tensor, *, size: int) -> Tensor:
        """Backward flow (B, 2, size/2, size/2), in pixels of its own map, that takes the source to the target.

        Args:
            source: landmarks (B, 478, 3) of the source, in pixels of the 256 crop.
            target: landmarks (B, 478, 3) that the result shall have.
            size: side of the images in pixels.
        """
        side, device = size // PRIOR_SCALE, source.device
        source, target = source.float().cpu(), target.float().cpu()
        mesh, covered = self.mesh_flow(source, target, side)
        return torch.lerp(self.surroundings(source, target, side), mesh, covered).to(device)

    def mesh_flow(self, source: Tensor, target: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """The mesh's part of `flow`: (B, 2, side, side), and how much it counts there, (B, 1, side, side) in 0..1."""
        unit = 256.0 / side
        drawn = [
            self._draw(here, there, side, unit)
            for here, there in zip((target / unit).numpy(), (source / unit).numpy(), strict=True)
        ]
        flow, covered = (torch.from_numpy(np.stack(maps)) for maps in zip(*drawn, strict=True))
        return flow, covered.unsqueeze(1)

    def moved(self, image: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Pictures (B, H, W, 3) uint8: image (H, W, 3) uint8 of landmarks (478, 3), warped to target (B, 478, 3)."""
        there = torch.from_numpy(target)
        flow = self.flow(torch.from_numpy(source).expand_as(there), there, size=image.shape[0])
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
        warped: np.ndarray = warp(pixels, flow, grid="aligned").round().byte().permute(0, 2, 3, 1).numpy()
        return warped

    def _draw(self, here: np.ndarray, there: np.ndarray, side: int, unit: float) -> tuple[np.ndarray, np.ndarray]:
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
