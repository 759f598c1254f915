"""Where a prior guesses: maps of doubt, told from what the prior itself has at hand. See `model.renderer.guide.DOUBTS`.

Letters: B batch, S the side of a flow, s that of the maps while they are made, half as much.
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.morphable.basis import HALF_CROP
from model.renderer.warping import pixel_centres

# How many pixels of the portrait lie along one of the picture: in the direction with the fewest, below which it counts
# as stretched; in that with the most, from which a seam is suspected, and over what.
DENSE = 0.7
TORN, TORN_OVER = 1.8, 2.0
OUTSIDE_OVER = 8.0  # crop units outside of it
MISSED, MISSED_OVER = 0.1, 0.8  # crop units by which the search for an origin misses what leads there
_BESIDE, _SOFT = np.ones((5, 5), np.uint8), (3, 3)  # in pixels of the maps


def doubts(flow: Tensor, *, completed: Tensor, opened: Tensor, missed: Tensor) -> Tensor:
    """Maps of doubt (B, 5, S, S), 0..1, of a flow (B, 2, S, S) in pixels.

    Args:
        flow: of the prior.
        completed: (B, 1, S, S), 0..1, how far pixels are taken from the other side of the face.
        opened: (B, 1, S, S), 0..1, where lips part of which the portrait does not show the inside.
        missed: (B, t, t), by how many crop units the search for an origin misses, see `Skin.origins`.
    """
    half = flow.shape[-1] // 2
    flow, completed, opened = (F.avg_pool2d(maps, 2) for maps in (flow, completed, opened))  # (B, ..., s, s) now
    least, most = spread_of_reading(flow / 2)
    stretched = 1 - (least / DENSE).clamp(0, 1)
    seam = ((most - TORN) / TORN_OVER).clamp(0, 1)
    places = pixel_centres((half, half)) + flow / half
    beyond = (places.abs().amax(1) - 1).clamp(min=0) * HALF_CROP
    absent = torch.maximum((beyond / OUTSIDE_OVER).clamp(max=1), opened.squeeze(1))
    # Single cells miss or hit by chance, from one frame to the next; their neighbourhood does not.
    bare = ((F.avg_pool2d(missed, 5, 1, 2, count_include_pad=False) - MISSED) / MISSED_OVER).clamp(0, 1).unsqueeze(1)
    uncovered = F.interpolate(bare, size=(half, half), mode="bilinear", align_corners=False).squeeze(1)
    maps = torch.stack([stretched, completed.squeeze(1), absent, uncovered, seam], 1).numpy()
    enlarged = np.empty((*maps.shape[:2], 2 * half, 2 * half), np.float32)
    for small, large in zip(maps.reshape(-1, half, half), enlarged.reshape(-1, 2 * half, 2 * half), strict=True):
        # What is beside a tear is doubtful as well; and a mask that follows the maps should have no edges of its own.
        soft = cv2.blur(cv2.dilate(small, _BESIDE), _SOFT, borderType=cv2.BORDER_REPLICATE)
        cv2.resize(soft, large.shape, dst=large)
    return torch.from_numpy(enlarged)


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
