"""Where the pixels of a face came from: the piecewise affine map of a triangle mesh.

Far triangles are drawn first, so that what is hidden stays hidden and closing lids cover the eye. Where the portrait
does not show a face well, it is read elsewhere: along the rim that turns to the camera further in, and what was turned
away from the camera on the other side of the face, which is its mirror image but for light and hair.

Letters: B batch, P the 478 landmarks, T triangles, N pixels, S the side of the map.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.extractor.topology import mirror_permutation
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES
from model.morphable.mesh import edges_and_area, face_mesh
from model.morphable.pose import rotation_matrix
from model.renderer.skinning import RIM, Skin, head_rotation

SEAM = 6.0  # pixels of the 256 crop over which the mesh gives way to what is around it
LEAST_SEAM = 1.0  # in the same, where the far side hides what is behind it
JUMP = 4.0  # by how much more than a pixel both flows differ, in the same, where that side's seam is half as wide
FAR = 0.15  # sine of the angle by which the rim is turned away where it counts in full as the far side
# Cosine to the chin's direction from which it can, and over which: not where hair hangs over foreheads.
FAR_FROM, FAR_OVER = -0.55, 0.35
PULLED, PULLED_OVER = 0.06, 0.3  # of a landmark's distance to the bridge of the nose: how far in, over which strip
TURNED = 0.3  # sine of the angle by which the rim is turned to the camera where it is read further in by all of that
# Cosine of a normal to the camera's axis below which a part of the face counts as hidden. Nearer to its outline light
# and hair of the other side would show as a patch, while what is stretched there does not.
HIDDEN = -0.3
BETTER = 0.3  # by how much the other side's must be larger
_BRIDGE, _CHIN, _FOREHEAD = 6, 152, 10  # landmarks
_SUBPIXEL_BITS = 4

Floats = NDArray[np.float32]


class FaceFlow:
    """Lays the flow of faces over that of what is around them."""

    def __init__(self, morphable: MorphableModel) -> None:
        self._triangles = face_mesh(morphable)
        self._counterparts = mirror_permutation(morphable.mean.numpy())
        normals = _normals(morphable.mean, torch.from_numpy(self._triangles))
        self._outwards = F.normalize(
            normals + normals[self._counterparts] * normals.new_tensor([-1.0, 1.0, 1.0]), dim=-1
        )

    def lay(self, around: Tensor, skin: Skin, target: Tensor, motions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Backward flow (B, 2, S, S), in pixels of its own map: `around`, of the same shape, where there is no face.

        With it come, (B, S, S) each, 1 where the other side of the face is read, and how squarely the portrait's camera
        saw what is at each pixel, as a cosine, 1 off the face.
        skin: the portraits' (B), or the one portrait's (1). target (B, 478, 3): landmarks that the result shall have,
        in pixels of the 256 crop; motions (B, 70): motions that it shall have.
        """
        count, side = around.shape[0], around.shape[-1]
        unit = 256.0 / side  # pixels of the 256 crop in one of the map
        turned = head_rotation(skin.motion, motions)[:, 2, :2]
        other = self._counterparts
        places, share, further_in = skin.landmarks[..., :2], _turned_to_camera(skin, turned), _further_in(skin)
        read_at = torch.stack([places - share * further_in, places[:, other] - share * further_in[:, other]], 1) / unit
        shown = self._shown(skin).expand(count, -1)
        off_the_face = around.new_tensor([0.0, 1.0])[:, None, None].expand(count, -1, side, side)
        laid = torch.cat([around, off_the_face], 1)
        for maps, *frame in zip(
            laid.numpy(), (target / unit).numpy(), read_at.numpy(), shown.numpy(), turned.numpy(), strict=True
        ):
            self._lay_one(maps, *frame, unit=unit)
        return laid[:, :2], laid[:, 2], laid[:, 3]

    def _shown(self, skin: Skin) -> Tensor:
        """How squarely the camera saw the landmarks, as the cosine of their normals to its axis: (B, 478)."""
        return -(self._outwards @ rotation_matrix(skin.motion[:, ANGLES])[:, 2].unsqueeze(-1)).squeeze(-1)

    def _lay_one(
        self, laid: Floats, here: Floats, there: Floats, shown: Floats, turned: Floats, *, unit: float
    ) -> None:
        """Lay one face over `laid` (4, S, S), flow and then what comes with it, in place; see `lay`.

        here (478, 3): the landmarks in the picture to be made; there (2, 478, 2): where they are read, and where on the
        other side of the face, in pixels of the map; shown (478,): see `_shown`; turned (2,): see
        `_turned_to_camera`.
        """
        side = laid.shape[-1]
        flow, mirrored, squareness = np.split(laid.reshape(4, -1), (2, 3))
        drawn, order = self._drawn(here, side)
        inside = drawn >= 0
        pixels = np.flatnonzero(inside)
        places = np.stack([pixels % side, pixels // side], -1).astype(np.float32) + np.float32(0.5)
        corners = self._triangles[order]
        values = [there[0] - here[:, :2], shown[:, None]]
        if bool((shown < HIDDEN).any()):
            values += [there[1] - here[:, :2], shown[self._counterparts, None]]
        known = _interpolated(here[corners, :2], np.concatenate(values, -1)[corners], drawn.take(pixels), places)
        moved, seen = known[:, :2], known[:, 2]
        squareness[:, pixels] = seen
        if known.shape[1] > 3:
            hidden = (seen < HIDDEN) & (known[:, 5] > seen + BETTER)
            moved = np.where(hidden[:, None], known[:, 3:5], moved)
            mirrored[:, pixels] = hidden
            squareness[:, pixels] = np.where(hidden, known[:, 5], seen)
        bordered = cv2.copyMakeBorder(inside.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        distance = cv2.distanceTransform(bordered, cv2.DIST_L2, 3)
        before = flow.take(pixels, 1).T
        change = moved - before
        jump = np.hypot(*change.T) * unit
        seam = _seam(jump, places - here[RIM, :2].mean(0), here[_CHIN, :2] - here[_FOREHEAD, :2], turned)
        share = np.minimum(distance[1:-1, 1:-1].take(pixels) * unit / seam, 1)[:, None]
        flow[:, pixels] = (before + share * change).T

    def _drawn(self, here: Floats, side: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Which triangle is seen at each pixel, or -1: (side, side), as numbers into the second, triangles in order."""
        corners = here[self._triangles]
        _, _, area = edges_and_area(corners)
        facing = np.flatnonzero(area > 1e-3)  # the mesh winds clockwise as seen; what is turned away is not seen
        order = facing[np.argsort(-corners[facing, :, 2].mean(1), kind="stable")]
        drawn = np.full((side, side), -1, np.int32)
        # A pixel's centre lies half a pixel in; fillConvexPoly counts from the centres.
        polygons = np.rint((corners[order, :, :2] - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        for number, polygon in enumerate(polygons):
            cv2.fillConvexPoly(drawn, polygon, number, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
        return drawn, order


def _normals(points: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals (P, 3) of a mesh, its triangles weighted by their areas, towards the viewer for faces."""
    corners = points[triangles]
    of_triangles = torch.linalg.cross(corners[:, 2] - corners[:, 0], corners[:, 1] - corners[:, 0])
    summed = torch.zeros_like(points).index_add_(0, triangles.flatten(), of_triangles.repeat_interleave(3, 0))
    return F.normalize(summed, dim=-1)


def _turned_to_camera(skin: Skin, turned: Tensor) -> Tensor:
    """How much the rim near each landmark is turned to the camera, 0..1: (B, 478, 1).

    At the rim the surface faces outwards in the picture's plane. turned (B, 2): the rotation's third row, see
    `head_rotation`.
    """
    share = (-(skin.outwards @ turned.unsqueeze(-1)) / TURNED).clamp(0, 1)
    return share.square() * (3 - 2 * share)


def _further_in(skin: Skin) -> Tensor:
    """How much further in a cheek is read than it lies where it turns to the camera: (B, 478, 2) in pixels, outwards.

    The portrait shows the strip along the rim narrowly, with hair or wall in it, and would stretch these over the
    cheek; so the cheek's inner part is stretched instead, the less the further in it lies.
    """
    # A half face that is turned away is narrow itself: there the strip must not reach the eye.
    width = (skin.landmarks - skin.landmarks[:, _BRIDGE, None])[..., :2].norm(dim=-1).clamp(min=1e-6)
    strip = (1 - skin.inside / (PULLED_OVER * width)).clamp(min=0)
    return (PULLED * width * strip.square()).unsqueeze(-1) * skin.outwards


def _interpolated(corners: Floats, values: Floats, of_pixel: NDArray[np.int32], places: Floats) -> Floats:
    """What the affine functions on triangles with `values` (T, 3, C) at `corners` (T, 3, 2) are at pixels: (N, C).

    of_pixel (N,): each pixel's triangle; places (N, 2). Pixels on a triangle's outline may lie a little outside it, and
    on a thin one a function then leads far away: it is held to what it is at the corners.
    """
    edge_1, edge_2, area = edges_and_area(corners)
    inverse = np.stack([edge_2[:, 1], -edge_2[:, 0], -edge_1[:, 1], edge_1[:, 0]], -1).reshape(-1, 2, 2)
    rises = np.stack([values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]], -1)
    gradient = rises @ (inverse / area[:, None, None])  # (T, C, 2)
    offset = values[:, 0] - (gradient @ corners[:, 0, :, None])[..., 0]
    known = offset.take(of_pixel, 0)
    for axis in (0, 1):
        known += gradient[..., axis].take(of_pixel, 0) * places[:, axis, None]
    return np.clip(known, values.min(1).take(of_pixel, 0), values.max(1).take(of_pixel, 0), out=known)


def _seam(jump: Floats, outwards: Floats, down: Floats, turned: Floats) -> Floats:
    """Widths (N,) of the seam in pixels of the 256 crop.

    On the far side a face hides what is behind it: between both flows lie ears and hair, which a wide seam would show
    as a line around the face. jump (N,): the difference of the flows in the same; outwards (N, 2): pixels as seen from
    the face's middle; down (2,): to the chin.
    """
    length = np.maximum(np.hypot(*outwards.T), 1e-6)
    far = np.clip(outwards @ turned / (length * FAR), 0, 1)
    beneath = outwards @ down / (length * max(float(np.hypot(*down)), 1e-6))
    far *= np.clip((beneath - FAR_FROM) / FAR_OVER, 0, 1)
    narrow = np.maximum(SEAM / (1 + np.maximum(jump - 1, 0) / JUMP), LEAST_SEAM)
    width: Floats = SEAM + far * (narrow - SEAM)
    return width
