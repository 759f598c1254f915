"""Pictures as networks have them, and as files have them."""

import numpy as np
import torch
from torch import Tensor

from model.arrays import Frames


def to_levels(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1] -> RGB bytes (B, H, W, 3) on the same device."""
    levels = images.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous()


def to_frames(images: Tensor) -> Frames:
    """Images (B, 3, H, W) in [-1, 1] on any device -> RGB bytes (B, H, W, 3)."""
    frames: Frames = to_levels(images).cpu().numpy()
    return frames


def to_image(frame: Frames) -> Tensor:
    """RGB bytes (H, W, 3) -> a source image (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float().div_(127.5).sub_(1)
