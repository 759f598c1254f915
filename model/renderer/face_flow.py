"""Where the pixels of a face came from: the piecewise affine map of a triangle mesh.

Far triangles are drawn first, so that what is hidden stays hidden and closing lids cover the eye. Along the rim that
turns to the camera the portrait does not show a face well, and it is read further in. What the portrait does not show
at all is for `model.renderer.completion`.

Letters: B batch, N pixels, S the side of the map.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.morphable import MorphableModel
from model.morphable.mesh import RIM, Drawing, draw_triangles, face_mesh, interpolated, pixel_places
from model.renderer.skinning import Skin, head_rotation

SEAM = 6.0  # pixels of the 256 crop over which the mesh gives way to what is around it
LEAST_SEAM = 1.0  # in the same, where the far side hides what is behind it
JUMP = 4.0  # by how much more than a pixel both flows differ, in the same, where that side's seam is half as wide
FAR = 0.15  # sine of the angle by which the rim is turned away where it counts in full as the far side
# Cosine to the chin's direction from which it can, and over which: not where hair hangs over foreheads.
FAR_FROM, FAR_OVER = -0.55, 0.35
PULLED, PULLED_OVER = 0.06, 0.3  # of a landmark's distance to the bridge of the nose: how far in, over which strip
TURNED = 0.3  # sine of the angle by which the rim is turned to the camera where it is read further in by all of that
_BRIDGE, _CHIN, _FOREHEAD = 6, 152, 10  # landmarks

Floats = NDArray[np.float32]


class FaceFlow:
    """Lays the flow of faces over that of what is around them."""

    def __init__(self, morphable: MorphableModel) -> None:
        self._triangles = face_mesh(morphable)

    def draw(self, target: Tensor, side: int) -> list[Drawing]:
        """The mesh of each of the faces `target` (B, 478, 3), in pixels of the 256 crop, on a map of `side` pixels."""
        return [draw_triangles(points, self._triangles, (side, side)) for points in (target * (side / 256.0)).numpy()]

    def lay(
        self,
        around: Tensor,
        skin: Skin,
        target: Tensor,
        motions: Tensor,
        drawings: Sequence[Drawing] | None = None,
    ) -> Tensor:
        """Backward flow (B, 2, S, S), in pixels of its own map: `around`, of the same shape, where there is no face.

        skin: the portraits' (B), or the one portrait's (1). target (B, 478, 3): landmarks that the result shall have,
        in pixels of the 256 crop; motions (B, 70): motions that it shall have; drawings: what `draw` made of target.
        """
        side = around.shape[-1]
        unit = 256.0 / side  # pixels of the 256 crop in one of the map
        turned = head_rotation(skin.motion, motions)[:, 2, :2]
        further_in = _turned_to_camera(skin, turned) * _further_in(skin)
        read_at = (skin.landmarks[..., :2] - further_in) / unit
        drawings = drawings or self.draw(target, side)
        flows = around.numpy().copy()
        for flow, drawn, *frame in zip(
            flows, drawings, (target / unit).numpy(), read_at.numpy(), turned.numpy(), strict=True
        ):
            _lay_one(flow, drawn, *frame, unit=unit)
        return torch.from_numpy(flows)


def _lay_one(flow: Floats, drawn: Drawing, here: Floats, there: Floats, turned: Floats, *, unit: float) -> None:
    """Lay one face over `flow` (2, S, S), in place.

    here (478, 3): the landmarks in the picture to be made; there (478, 2): where they are read, in pixels of the map;
    turned (2,): see `_turned_to_camera`.
    """
    pixels, moved = interpolated(drawn, here, there - here[:, :2])
    places = pixel_places(pixels, flow.shape[-1])
    inside = (drawn.number >= 0).view(np.uint8)
    bordered = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform(bordered, cv2.DIST_L2, 3)
    before = flow.reshape(2, -1).take(pixels, 1).T
    change = moved - before
    jump = np.hypot(*change.T) * unit
    seam = _seam(jump, places - here[RIM, :2].mean(0), here[_CHIN, :2] - here[_FOREHEAD, :2], turned)
    share = np.minimum(distance[1:-1, 1:-1].take(pixels) * unit / seam, 1)[:, None]
    flow.reshape(2, -1)[:, pixels] = (before + share * change).T


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
