"""The prior flow: where the morphable model itself says that each pixel came from.

Source and target landmarks differ by a displacement per point. It is spread over the flow map by Gaussian kernels:
a narrow one for what lips and lids do, a middle one that also carries the scalp, and a wide one that fades to nothing
away from the head, so that the background stays. The kernels are separable: spreading is two small matrix products.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Widths in pixels of the 256 crop. `floor` is the sum of kernel values at which a kernel's word counts half.
# The narrow one is under a pixel of the flow map, so that upper and lower lid do not average each other away.
NARROW, MIDDLE, WIDE = 3.0, 14.0, 28.0
NARROW_FLOOR, MIDDLE_FLOOR, WIDE_FLOOR = 0.2, 0.5, 1.0
DEPTH = 40.0  # of two points at one place, the one nearer by this many pixels counts e times more

# Upper outline of the face from temple to temple, and the scalp as multiples of its distance from the face's centre.
_OUTLINE = (234, 127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356, 454)
_CENTRE, _EARS, _TOP, _CHIN = 168, (234, 454), 10, 152
# (outwards from the centre, backwards to the ears, upwards by the face's height), as shares of those lengths.
_SCALP = ((0.2, 0.25, 0.12), (0.4, 0.6, 0.3))


def with_scalp(landmarks: Tensor) -> Tensor:
    """Landmarks (B, 478, 3) followed by points of the scalp above them, (B, 478 + 34, 3).

    The scalp is a linear combination of landmarks, so that it turns with the head whatever the pose.
    """
    outline, centre = landmarks[:, _OUTLINE], landmarks[:, _CENTRE : _CENTRE + 1]
    backwards = landmarks[:, _EARS].mean(1, keepdim=True) - centre
    upwards = (landmarks[:, _TOP] - landmarks[:, _CHIN]).unsqueeze(1)
    rings = [outline + out * (outline - centre) + back * backwards + up * upwards for out, back, up in _SCALP]
    return torch.cat([landmarks, *rings], 1)


def prior_flow(source: Tensor, target: Tensor, *, size: int) -> Tensor:
    """Backward flow (B, 2, size/4, size/4), in pixels of the flow map, that takes the source to the target.

    Args:
        source: landmarks (B, 478, 3) of the source, in pixels of the 256 crop.
        target: landmarks (B, 478, 3) that the result shall have.
        size: side of the images in pixels.
    """
    side = size // 4
    unit = 256.0 / side  # pixels of the 256 crop in one of the flow map
    displacement = (with_scalp(source) - with_scalp(target))[..., :2] / unit
    points = with_scalp(target)
    centres = (torch.arange(side, device=points.device, dtype=points.dtype) + 0.5) * unit
    faces = source.shape[1]
    nearness = torch.exp(-(points[..., 2] - points[..., 2].mean(1, keepdim=True)) / DEPTH)

    narrow, narrow_share = _spread(
        points[:, :faces], displacement[:, :faces], nearness[:, :faces], centres, width=NARROW, floor=NARROW_FLOOR
    )
    middle, middle_share = _spread(points, displacement, nearness, centres, width=MIDDLE, floor=MIDDLE_FLOOR)
    wide, wide_share = _spread(points, displacement, nearness, centres, width=WIDE, floor=WIDE_FLOOR)
    flow = wide * wide_share
    flow = torch.lerp(flow, middle, middle_share)
    return torch.lerp(flow, narrow, narrow_share)


def _spread(
    points: Tensor, displacement: Tensor, nearness: Tensor, centres: Tensor, *, width: float, floor: float
) -> tuple[Tensor, Tensor]:
    """Kernel-weighted mean displacement (B, 2, h, w), and how far to trust it, 0..1 (B, 1, h, w)."""
    column = torch.exp(-0.5 * ((points[..., 0, None] - centres) / width).square())  # (B, N, w)
    row = torch.exp(-0.5 * ((points[..., 1, None] - centres) / width).square()) * nearness.unsqueeze(-1)
    values = torch.cat([displacement, torch.ones_like(displacement[..., :1])], -1)  # dx, dy and the kernel's own sum
    sums = torch.einsum("bnh,bnk,bnw->bkhw", row, values, column)
    total = sums[:, 2:]
    return sums[:, :2] / (total + 1e-6), total / (total + floor)
