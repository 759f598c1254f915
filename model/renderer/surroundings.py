"""What moves with the head around the face: hair, ears, neck and shoulders, of which landmarks say nothing.

Anchors stand around the face, most of them fixed to the head, others following it in part or not at all, as necks and
shoulders do. Where they stand, how far they follow and how far they reach was learned from pairs of frames
(`model.renderer.train_surroundings`). The flow is the mean of their displacements and of those of the face's rim,
weighted by Gaussian kernels (Nadaraya-Watson regression), and fades to none where no kernel reaches.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from model.weights.files import load_into, load_weights

NAME = "surroundings"

# The rim of the face from ear to ear, above and below.
ABOVE = (234, 127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356, 454)
BELOW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_EARS, _NOSE_ROOT, _TOP, _CHIN = (234, 454), 168, 10, 152

# Where anchors start: rings of (radius in half faces, depth in noses' depths, how far they follow the head).
_RINGS = ((1.1, 0.2, 1.0), (1.3, 0.5, 0.95), (1.6, 0.8, 0.8), (2.0, 0.8, 0.5), (2.6, 0.8, 0.2))
_RING_ANCHORS = 13  # from above the head down its right side; the left is the mirror image
_NECK_FOLLOWS = 0.6  # how much less the lowest anchor of a ring follows


class Surroundings(nn.Module):
    """A anchors on the right side of a head's middle plane, and as many mirrored, with the rim of the face."""

    def __init__(self) -> None:
        super().__init__()
        radius, depth, follows = (values.repeat_interleave(_RING_ANCHORS) for values in torch.tensor(_RINGS).unbind(-1))
        angle = torch.linspace(0, torch.pi, _RING_ANCHORS).repeat(len(_RINGS))
        place = torch.stack([radius * angle.sin() / 2, radius * angle.cos() / 2, depth], -1)
        neck = torch.where(radius > 1.2, _NECK_FOLLOWS * (-angle.cos()).clamp(min=0), 0.0)
        # (A, 3): rightwards in widths of the face, upwards in its heights, backwards in depths from nose to ears.
        self.place = nn.Parameter(place)
        self.follows = nn.Parameter(follows * (1 - neck))  # (A,); 1: with the head, 0: not at all
        self.log_width = nn.Parameter(torch.full((len(place),), 16.0).log())  # of the kernels, in pixels of the crop
        self.log_weight = nn.Parameter(torch.full((len(place),), 0.6).log())
        self.rim_log_width = nn.Parameter(torch.full((2,), 14.0).log())  # above, below
        self.rim_log_weight = nn.Parameter(torch.zeros(2))
        self.log_floor = nn.Parameter(torch.tensor(0.1).log())  # sum of kernels that counts half

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """Load what was released, or what is in `directory`, for use alone.

        Raises:
            WeightsError: a file is missing, damaged or does not fit.
        """
        state, _ = load_weights(NAME, directory)
        surroundings = cls()
        load_into(surroundings, state, NAME)
        return surroundings.requires_grad_(requires_grad=False)

    def forward(self, source: Tensor, target: Tensor, side: int) -> Tensor:
        """Backward flow (B, 2, side, side), in pixels of its own map.

        source, target: landmarks (B, 478, 3) in pixels of the 256 crop.
        """
        there = self._anchors(source)
        follows = self.follows.repeat(2)[:, None]
        here = there + follows * (self._anchors(target) - there)
        there, here = (
            torch.cat([landmarks[:, ABOVE, :2], landmarks[:, BELOW, :2], anchors], 1)
            for landmarks, anchors in ((source, there), (target, here))
        )
        rims = torch.tensor([len(ABOVE), len(BELOW)], device=source.device)
        width = torch.cat([self.rim_log_width.repeat_interleave(rims), self.log_width.repeat(2)]).exp()
        weight = torch.cat([self.rim_log_weight.repeat_interleave(rims), self.log_weight.repeat(2)]).exp()
        unit = 256.0 / side
        displacement = (there - here) / unit
        values = torch.cat([displacement, torch.ones_like(displacement[..., :1])], -1) * weight[:, None]
        coarse = side // 2  # kernels are smooth: half the map's sides are enough
        centres = (torch.arange(coarse, dtype=here.dtype, device=here.device) + 0.5) * (256.0 / coarse)
        # Kernels are separable, so spreading is one small matrix product.
        column = torch.exp(-0.5 * ((here[..., 0, None] - centres) / width[:, None]).square())  # (B, N, w)
        row = torch.exp(-0.5 * ((here[..., 1, None] - centres) / width[:, None]).square())
        sums = torch.einsum("bnh,bnk,bnw->bkhw", row, values, column)
        flow = sums[:, :2] / (sums[:, 2:] + self.log_floor.exp())
        return torch.nn.functional.interpolate(flow, size=(side, side), mode="bilinear", align_corners=False)

    def _anchors(self, landmarks: Tensor) -> Tensor:
        """Where a head with `landmarks` (B, 478, 3) has its anchors: (B, 2A, 2)."""
        right = (landmarks[:, _EARS[1]] - landmarks[:, _EARS[0]]).unsqueeze(1)
        up = (landmarks[:, _TOP] - landmarks[:, _CHIN]).unsqueeze(1)
        back = landmarks[:, _EARS].mean(1, keepdim=True) - landmarks[:, _NOSE_ROOT, None]
        middle = landmarks[:, (_TOP, _CHIN)].mean(1, keepdim=True)
        x, y, z = self.place.unsqueeze(-1).unbind(1)  # (A, 1) each
        level = middle + y * up + z * back
        return torch.cat([level + x * right, level - x * right], 1)[..., :2]
