"""The prior flow: where the morphable model itself says that each pixel came from.

On the face it is the piecewise affine map of a triangle mesh, drawn far triangles first, so that what is hidden stays
hidden and closing lids cover the eye. Along the rim that turns to the camera it is read from further in. Around it each
pixel follows the head as the portrait's skin says: see `model.renderer.skinning`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.engines import to_image
from model.morphable import MorphableModel
from model.morphable.mesh import face_mesh
from model.renderer.config import PRIOR_SCALE
from model.renderer.skinning import Skin, SkinningNetwork, head_rotation
from model.renderer.warping import warp

SEAM = 6.0  # pixels of the 256 crop over which the mesh gives way to the skin
GLANCED = 0.125  # of the way from the rim to the bridge of the nose, what the camera saw at a glancing angle
GLANCED_KEPT = 0.2  # what is left of that strip where it is turned to the camera
TURNED = 0.3  # sine of the angle by which it is turned in full
_BRIDGE = 6  # the landmark
_SUBPIXEL_BITS = 4


class Portrait(Protocol):
    """What a prior needs of an extraction: see `model.extractor.Extraction`."""

    @property
    def image(self) -> np.ndarray:
        """The face crop, RGB uint8 (256, 256, 3)."""

    @property
    def landmarks(self) -> np.ndarray:
        """(478, 3) in pixels of the crop."""

    @property
    def motion(self) -> np.ndarray:
        """The portrait's own motion (70,)."""


class Prior:
    """Computes prior flows from a portrait's skin and the landmarks and motions that it shall have."""

    def __init__(self, morphable: MorphableModel, skinning: SkinningNetwork) -> None:
        self.triangles = face_mesh(morphable)
        self._skinning = skinning

    @classmethod
    def load(cls, morphable: MorphableModel, directory: Path | None = None) -> Prior:
        """A prior with the released skinning network, or the one in `directory`.

        Raises:
            WeightsError: weights or card are missing, damaged or do not fit.
        """
        return cls(morphable, SkinningNetwork.load(directory))

    @torch.no_grad()
    def skin(self, source: Tensor, landmarks: Tensor, motion: Tensor) -> Skin:
        """How portraits (B, 3, H, W) in [-1, 1] follow their heads.

        landmarks (B, 478, 3) in pixels of the 256 crop and motion (B, 70) are the portraits' own. It is computed on the
        CPU, as flows are.
        """
        return self._skinning.skin(source.float().cpu(), landmarks.float().cpu(), motion.float().cpu())

    def skin_of(self, portrait: Portrait) -> Skin:
        """The skin of one portrait."""
        landmarks, motion = (torch.from_numpy(np.asarray(a, np.float32)) for a in (portrait.landmarks, portrait.motion))
        return self.skin(to_image(portrait.image), landmarks[None], motion[None])

    @torch.no_grad()
    def flow(self, skin: Skin, target: Tensor, motions: Tensor, *, size: int) -> Tensor:
        """Backward flow (B, 2, size/2, size/2), in pixels of its own map, that takes the source to the target.

        Args:
            skin: the sources' (B), or the one source's (1).
            target: landmarks (B, 478, 3) that the result shall have, in pixels of the 256 crop.
            motions: motions (B, 70) that it shall have.
            size: side of the images in pixels.
        """
        side = size // PRIOR_SCALE
        unit = 256.0 / side  # pixels of the 256 crop in one of the map
        wanted, motions = target.float().cpu(), motions.float().cpu()
        around = skin.origins(wanted, motions) / unit
        around = F.interpolate(around, size=(side, side), mode="bilinear", align_corners=False)
        here = (wanted / unit).numpy()
        there = (self._read_at(skin, motions) / unit).numpy()
        covered = np.zeros((len(here), 1, side, side), np.float32)
        mesh = np.zeros((len(here), 2, side, side), np.float32)
        for index in range(len(here)):
            mesh[index], covered[index, 0] = self._mesh_flow(here[index], there[index], side, unit)
        return torch.lerp(around, torch.from_numpy(mesh), torch.from_numpy(covered)).to(target.device)

    def moved(self, portrait: Portrait, target: np.ndarray, motions: np.ndarray) -> np.ndarray:
        """Pictures (B, H, W, 3) uint8 of a portrait warped to landmarks (B, 478, 3) and motions (B, 70)."""
        flow = self.flow(
            self.skin_of(portrait), torch.from_numpy(target), torch.from_numpy(motions), size=portrait.image.shape[0]
        )
        pixels = torch.from_numpy(np.ascontiguousarray(portrait.image)).permute(2, 0, 1)[None].float()
        warped: np.ndarray = warp(pixels, flow, grid="aligned").round().byte().permute(0, 2, 3, 1).numpy()
        return warped

    @staticmethod
    def _read_at(skin: Skin, motions: Tensor) -> Tensor:
        """Where the mesh's corners are read in the sources under motions (B, 70): (B, 478, 3) in pixels of the crop.

        That is where they lie, but for a strip along the rim. The portrait shows it narrowly, with hair or wall in it,
        and would stretch these over a cheek that turns to the camera; so the cheek's inner part is stretched instead.
        """
        # At the rim the surface faces outwards in the picture's plane; the rotation turns it so far to the camera.
        sine = -(skin.outwards @ head_rotation(skin.motion, motions)[:, 2, :2, None])
        turned = (sine / TURNED).clamp(0, 1)
        smooth = turned.square() * (3 - 2 * turned)
        # A half face that is turned away is narrow itself: there the strip must not reach the eye.
        strip = GLANCED * (skin.landmarks - skin.landmarks[:, _BRIDGE, None])[..., :2].norm(dim=-1)
        further_in = (1 - GLANCED_KEPT) * (strip - skin.inside).clamp(min=0).unsqueeze(-1)
        return skin.landmarks - F.pad(smooth * further_in * skin.outwards, (0, 1))

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
