"""Where the pixels of a face came from: the piecewise affine map of a triangle mesh.

Far triangles are drawn first, so that what is hidden stays hidden and closing lids cover the eye. Beside an ear that
turns to the camera the portrait shows cheeks narrowly, and all is read further in, so that it is the cheek that becomes
wide. What the portrait does not show at all is for `model.renderer.prior.completion`.

Letters: B batch, N pixels, S the side of the map, s that of the skin's maps.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.arrays import Floats
from model.face.crop import CROP_UNITS
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES
from model.morphable.mesh import RIM, Raster, draw_triangles, face_mesh, interpolated, pixel_places
from model.morphable.pose import rotation_matrix
from model.renderer.prior.skinning import SKIN_SIDE, Skin, centres, depth_inside, head_rotation

SEAM = 6.0  # crop units over which the mesh gives way to what is around it
LEAST_SEAM = 1.0  # in the same, where the far side hides what is behind it
JUMP = 4.0  # by how much more than a pixel both flows differ, in the same, where that side's seam is half as wide
FAR = 0.15  # sine of the angle by which the rim is turned away where it counts in full as the far side
# Cosine to the chin's direction from which it can, and over which: not where hair hangs over foreheads.
FAR_FROM, FAR_OVER = -0.55, 0.35
# How far in is read beside ears, and over which strips inside the rim and around it, as shares of the rim's distance to
# the bridge of the nose. Inside, cheeks are stretched by that; around, ears that turning widens are narrowed again.
DRAWN_IN, WITHIN, AROUND = 0.125, 0.45, 0.5
FADING = 1.5  # power by which that fades over these strips
TURNED = 0.4  # sine of the angle by which the rim is turned to the camera where it is all of that
# Cosines to the chin's direction between which it comes and goes: from temples to below the lobes.
EAR_FROM, EAR_TO = (-0.5, -0.15), (0.4, 0.75)
# Sines of the angles where it is nothing, as the portrait shows the ear: from aside, with a cheek that is wide already,
# or not.
ASIDE, HIDDEN = 0.6, 0.3
_BRIDGE, _CHIN, _FOREHEAD = 6, 152, 10  # landmarks


class FaceFlow:
    """Lays the flow of faces over that of what is around them."""

    def __init__(self, morphable: MorphableModel) -> None:
        self._triangles = face_mesh(morphable)

    def draw(self, target: Tensor, side: int) -> list[Raster]:
        """The mesh of each of the faces `target` (B, 478, 3), in crop units, on a map of `side` pixels."""
        return [
            draw_triangles(points, self._triangles, (side, side)) for points in (target * (side / CROP_UNITS)).numpy()
        ]

    def lay(
        self,
        around: Tensor,
        skin: Skin,
        target: Tensor,
        motions: Tensor,
        rasters: Sequence[Raster] | None = None,
    ) -> Tensor:
        """Backward flow (B, 2, S, S), in pixels of its own map: `around`, of the same shape, where there is no face.

        Beside an ear that turns to the camera, both are read further in.

        skin: the portraits' (B), or the one portrait's (1). target (B, 478, 3): landmarks that the result shall have,
        in crop units; motions (B, 70): motions that it shall have; rasters: what `draw` made of target.
        """
        side = around.shape[-1]
        unit = CROP_UNITS / side  # crop units in one of the map
        turned = head_rotation(skin.motion, motions)[:, 2, :2]
        read_at = (skin.landmarks[..., :2] / unit).expand(len(target), -1, -1)
        drawn_in = _drawn_in(skin, turned)
        rasters = rasters or self.draw(target, side)
        flows = around.numpy().copy()
        for flow, raster, steps, *frame in zip(
            flows,
            rasters,
            drawn_in.numpy(),
            (target / unit).numpy(),
            read_at.numpy(),
            turned.numpy(),
            strict=True,
        ):
            _lay_one(flow, raster, *frame, unit=unit)
            if steps.any():
                _read_on(flow, steps, unit=unit)
        return torch.from_numpy(flows)


def _lay_one(flow: Floats, raster: Raster, here: Floats, there: Floats, turned: Floats, *, unit: float) -> None:
    """Lay one face over `flow` (2, S, S), in place.

    here (478, 3): the landmarks in the picture to be made; there (478, 2): where they are read, in pixels of the map;
    turned (2,): see `_drawn_in`.
    """
    pixels, moved = interpolated(raster, here, there - here[:, :2])
    places = pixel_places(pixels, flow.shape[-1])
    inside = (raster.number >= 0).view(np.uint8)
    bordered = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform(bordered, cv2.DIST_L2, 3)
    before = flow.reshape(2, -1).take(pixels, 1).T
    change = moved - before
    jump = np.hypot(*change.T) * unit
    seam = _seam(jump, places - here[RIM, :2].mean(0), here[_CHIN, :2] - here[_FOREHEAD, :2], turned)
    share = np.minimum(distance[1:-1, 1:-1].take(pixels) * unit / seam, 1)[:, None]
    flow.reshape(2, -1)[:, pixels] = (before + share * change).T


def _drawn_in(skin: Skin, turned: Tensor) -> Tensor:
    """How much further in each place of the portrait is read: steps (B, 2, s, s) in crop units, inwards.

    turned (B, 2): the rotation's third row, see `head_rotation`; s is SKIN_SIDE. It is of places in the portrait, so
    that readings come closer together there but never cross, whatever stretches them.

    Between the face's rim and the ear the portrait shows a few pixels, with the ear's edge or hair in them, where a
    turned head has much of its cheek. Read further in, the cheek's inner part is stretched instead, and what is beside
    it follows from its own edge on.
    """
    rim = skin.landmarks[:, RIM, :2]
    places = centres(SKIN_SIDE)[0]
    outwards = F.normalize(places - rim.mean(1, keepdim=True), dim=-1)  # (B, s * s, 2)
    inside = torch.stack([depth_inside(places, one) for one in rim])  # (B, s * s)
    # A half face that is turned away is narrow itself: there the strip must not reach the eye.
    width = ((places - skin.landmarks[:, _BRIDGE, None, :2]).norm(dim=-1) + inside).clamp(min=1e-6)
    strip = torch.where(inside > 0, inside / WITHIN, -inside / AROUND) / width
    share = (1 - strip).clamp(min=0).pow(FADING)
    down = F.normalize(skin.landmarks[:, _CHIN, :2] - skin.landmarks[:, _FOREHEAD, :2], dim=-1)
    beneath = _along(outwards, down)
    share *= _rising(beneath, *EAR_FROM) * (1 - _rising(beneath, *EAR_TO))
    # At the rim the surface faces outwards in the picture's plane: how far is it turned away from the camera?
    before = _along(outwards, rotation_matrix(skin.motion[:, ANGLES])[:, 2, :2])
    share *= (1 - _rising(before, 0, HIDDEN)) * (1 - _rising(-before, 0, ASIDE))
    near = _rising(-_along(outwards, turned), 0, TURNED)
    steps = (-DRAWN_IN * near * share * width).unsqueeze(-1) * outwards
    return steps.transpose(1, 2).unflatten(2, (SKIN_SIDE, SKIN_SIDE))


def _read_on(flow: Floats, steps: Floats, *, unit: float) -> None:
    """Add to `flow` (2, S, S), in pixels of its own map, the steps (2, s, s) of where it reads, in place.

    See `_drawn_in`.
    """
    side = flow.shape[-1]
    cells = np.arange(side, dtype=np.float32) + np.float32(0.5)
    scale = np.float32(steps.shape[-1] / side)
    x, y = ((part + at) * scale - np.float32(0.5) for part, at in zip(flow, (cells, cells[:, None]), strict=True))
    for axis, step in enumerate(steps):
        flow[axis] += cv2.remap(step, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) / np.float32(unit)


def _along(vectors: Tensor, direction: Tensor) -> Tensor:
    """What vectors (B, N, 2) have of direction (B, 2): (B, N)."""
    return (vectors @ direction.unsqueeze(-1)).squeeze(-1)


def _rising(values: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high` on, and smoothly from one to the other between them."""
    share = ((values - low) / (high - low)).clamp(0, 1)
    return share.square() * (3 - 2 * share)


def _seam(jump: Floats, outwards: Floats, down: Floats, turned: Floats) -> Floats:
    """Widths (N,) of the seam in crop units.

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
