"""Where a prior guesses: maps of doubt, told from what the prior itself has at hand. See `model.renderer.guide.DOUBTS`.

Letters: B batch, S the side of a flow, s that of the maps while they are made, half as much.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from model.renderer.warping import pixel_centres

# How many pixels of the portrait lie along one of the picture: in the direction with the fewest, below which it counts
# as stretched; in that with the most, from which a seam is suspected, and over what.
DENSE = 0.7
TORN, TORN_OVER = 1.8, 2.0
OUTSIDE_OVER = 8.0  # pixels of the 256 crop outside of it
MISSED, MISSED_OVER = 1.0, 4.0  # pixels of the 256 crop by which the search for an origin misses what leads there
HIDDEN_FROM, HIDDEN_OVER = 0.15, 0.35  # cosine of a normal to the camera's axis below which a face is hidden, and over


def doubts(flow: Tensor, *, mirrored: Tensor, shown: Tensor, missed: Tensor) -> Tensor:
    """Maps of doubt (B, 5, S, S), 0..1, of a flow (B, 2, S, S) in pixels.

    Args:
        flow: of the prior.
        mirrored: (B, S, S), 0..1, how far pixels are read on the other side of the face.
        shown: (B, S, S), how squarely the portrait's camera saw what is at each pixel, as a cosine; 1 off the face.
        missed: (B, t, t), by how many pixels of the 256 crop the search for an origin misses, see `Skin.origins`.
    """
    side = flow.shape[-1]
    unit = 256.0 / side
    least, most = spread_of_reading(F.avg_pool2d(flow, 2) / 2)
    stretched = 1 - (least / DENSE).clamp(0, 1)
    seam = ((most - TORN) / TORN_OVER).clamp(0, 1)
    places = pixel_centres((side, side)) + flow * (2 / side)
    beyond = (places.abs().amax(1) - 1).clamp(min=0) * 128.0
    hidden = ((HIDDEN_FROM - shown) / HIDDEN_OVER).clamp(0, 1)
    unseen = F.avg_pool2d(torch.maximum(hidden, (beyond / OUTSIDE_OVER).clamp(max=1)).unsqueeze(1), 2)
    face = F.avg_pool2d(mirrored.unsqueeze(1), 2)
    around = F.interpolate(missed.unsqueeze(1), size=least.shape[-2:], mode="bilinear", align_corners=False)
    uncovered = ((around - MISSED) / MISSED_OVER).clamp(0, 1)
    maps = torch.cat([stretched.unsqueeze(1), face, unseen, uncovered, seam.unsqueeze(1)], 1)
    # What is beside a tear is doubtful as well; and a mask that follows the maps should have no edges of its own.
    widened = F.max_pool2d(maps, 3, 1, 1)
    soft = F.avg_pool2d(widened, round(4 / unit) + 1, 1, round(4 / unit) // 2, count_include_pad=False)
    return F.interpolate(soft, size=(side, side), mode="bilinear", align_corners=False)


def spread_of_reading(flow: Tensor) -> tuple[Tensor, Tensor]:
    """How many pixels are read for one, in the directions with the fewest and with the most: (B, s, s) each.

    They are the singular values of the Jacobian of p + flow(p); where it turns the picture over, the least is 0.
    """
    x, y = flow.unbind(1)
    # Forward differences, which see a tear between two pixels whole.
    xx, yx = (F.pad(part[:, :, 1:] - part[:, :, :-1], (0, 1)) for part in (x, y))
    xy, yy = (F.pad(part[:, 1:] - part[:, :-1], (0, 0, 0, 1)) for part in (x, y))
    xx, yy = xx + 1, yy + 1
    straight = torch.hypot(xx + yy, yx - xy) / 2
    folded = torch.hypot(xx - yy, xy + yx) / 2
    return (straight - folded).clamp(min=0), straight + folded
