"""What the extractor's network is trained for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from model.extractor.crop import CROP_SIZE, SIDE_PER_FACE_HEIGHT
from model.extractor.network import Prediction
from model.extractor.topology import BROWS, EYES, GAZE_PAIRS, IRISES, LID_PAIRS, LIP_PAIRS, MOUTH, POINTS
from model.extractor.window import WINDOW_PER_FACE_HEIGHT

# Half a side of the reference face's window, in pixels of the 256 crop of a face of that size.
HALF_WINDOW_PX = CROP_SIZE / SIDE_PER_FACE_HEIGHT * WINDOW_PER_FACE_HEIGHT / 2


class Losses(NamedTuple):
    """Terms of the loss, each a scalar; `landmarks`, `apertures` in pixels of the 256 crop."""

    landmarks: Tensor
    apertures: Tensor
    presence: Tensor
    confidence: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum that is minimised."""
        return self.landmarks + 0.7 * self.apertures + 4.0 * self.presence + 0.5 * self.confidence


def point_weights() -> Tensor:
    """Weights (478, 3) of the landmarks' coordinates, mean 1: lips, lids and irises count most, depth least."""
    weights = torch.ones(POINTS)
    weights[list(BROWS)] = 2.0
    weights[list(MOUTH)] = 4.0
    weights[list(EYES)] = 4.0
    weights[list(IRISES)] = 4.0
    weights = weights[:, None] * torch.tensor([1.0, 1.0, 0.3])
    return weights / weights.mean()


def extractor_losses(prediction: Prediction, landmarks: Tensor, log_scale: Tensor, presence: Tensor) -> Losses:
    """Losses of a batch.

    Landmarks count by the face's presence and relative to its size, as L1; so do the gaps between lids and lips and the
    irises' places between the eye corners, which are what a viewer sees of an expression. The expected error is learned
    as the log of the error made.

    Args:
        prediction: of the network.
        landmarks: (B, 478, 3) in window units.
        log_scale: (B,) size of each face against the reference.
        presence: (B,) 0..1.
    """
    counted = (presence > 0.05).float() * presence.clamp(min=0.3)
    counted = counted / counted.sum().clamp(min=1.0)
    to_px = HALF_WINDOW_PX * torch.exp(-log_scale)[:, None, None]
    difference = (prediction.landmarks - landmarks) * to_px
    weights = point_weights().to(difference.device)
    per_sample = (difference.abs() * weights).mean((1, 2))
    first, second = torch.tensor(LID_PAIRS + LIP_PAIRS + GAZE_PAIRS, device=difference.device).T
    gaps = (difference[:, first, :2] - difference[:, second, :2]).abs().mean((1, 2))
    error = difference.detach()[..., :2].norm(dim=-1).mean(-1)
    confidence = (prediction.log_error - error.clamp(min=0.1).log()).abs()
    return Losses(
        (per_sample * counted).sum(),
        (gaps * counted).sum(),
        F.binary_cross_entropy_with_logits(prediction.presence, presence),
        (confidence * counted).sum(),
    )
