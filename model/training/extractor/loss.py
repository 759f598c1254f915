"""What the extractor's network is trained for."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from model.extractor.network import Prediction
from model.extractor.window import WINDOW_PER_FACE_HEIGHT
from model.face.crop import CROP_UNITS, SIDE_PER_FACE_HEIGHT
from model.face.topology import BROWS, EYES, GAZE_PAIRS, IRISES, LID_PAIRS, LIP_PAIRS, MOUTH, POINTS

# Half a side of the reference face's window, in crop units of a face of that size.
HALF_WINDOW_PX = CROP_UNITS / SIDE_PER_FACE_HEIGHT * WINDOW_PER_FACE_HEIGHT / 2


class Losses(NamedTuple):
    """Terms of the loss, each a scalar; all but `presence` and `confidence` in crop units."""

    landmarks: Tensor
    shape: Tensor
    apertures: Tensor
    detail_shape: Tensor
    detail_apertures: Tensor
    presence: Tensor
    confidence: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum that is minimised."""
        shape = 2.0 * (self.shape + self.detail_shape) + self.apertures + 2.0 * self.detail_apertures
        return 0.5 * self.landmarks + shape + 4.0 * self.presence + 0.5 * self.confidence


def point_weights() -> Tensor:
    """Weights (478, 3) of the landmarks' coordinates, mean 1: lips, lids and irises count most, depth least."""
    weights = torch.ones(POINTS)
    weights[list(BROWS)] = 2.0
    weights[list(MOUTH)] = 4.0
    weights[list(EYES)] = 4.0
    weights[list(IRISES)] = 4.0
    weights = weights[:, None] * torch.tensor([1.0, 1.0, 0.3])
    return weights / weights.mean()


def extractor_losses(prediction: Prediction, landmarks: Tensor, pose: Tensor, presence: Tensor) -> Losses:
    """Losses of a batch.

    Landmarks count by the face's presence and relative to its size, as L1. The upright face is judged a second time on
    its own: as long as place and turn are off by more than the shape is, the sign of a landmark's error says nothing of
    the shape. The gaps between lids and lips and the irises' places between the eye corners, which are what a viewer
    sees of an expression, count once more. Both are asked of the rough face and of the corrected one, which teach the
    two halves of the network; without a closer look the second is zero. The expected error is learned as the log of the
    error made.

    Args:
        prediction: of the network.
        landmarks: (B, 478, 3) in window units.
        pose: (B, 4) x, y, log_scale, angle of the similarity that lays the reference onto them.
        presence: (B,) 0..1.
    """
    counted = (presence > 0.05).float() * presence.clamp(min=0.3)
    counted = counted / counted.sum().clamp(min=1.0)
    to_px = HALF_WINDOW_PX * torch.exp(-pose[:, 2])[:, None, None]
    difference = (prediction.landmarks - landmarks) * to_px
    weights = point_weights().to(difference.device)
    per_sample = (difference.abs() * weights).mean((1, 2))
    truth = upright(landmarks, pose)
    shapes = [
        _shape_errors((face - truth) * HALF_WINDOW_PX, weights) for face in (prediction.rough_face, prediction.face)
    ]
    (shape, gaps), (detail_shape, detail_gaps) = shapes
    if prediction.face is prediction.rough_face:
        detail_shape, detail_gaps = torch.zeros_like(shape), torch.zeros_like(gaps)
    error = difference.detach()[..., :2].norm(dim=-1).mean(-1)
    confidence = (prediction.log_error - error.clamp(min=0.1).log()).abs()
    return Losses(
        (per_sample * counted).sum(),
        (shape * counted).sum(),
        (gaps * counted).sum(),
        (detail_shape * counted).sum(),
        (detail_gaps * counted).sum(),
        F.binary_cross_entropy_with_logits(prediction.presence, presence),
        (confidence * counted).sum(),
    )


def _shape_errors(difference: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted L1 error (B,) of upright faces off by `difference` (B, 478, 3), and that of their gaps (B,)."""
    first, second = torch.tensor(LID_PAIRS + LIP_PAIRS + GAZE_PAIRS, device=difference.device).T
    gaps = (difference[:, first, :2] - difference[:, second, :2]).abs().mean((1, 2))
    return (difference.abs() * weights).mean((1, 2)), gaps


def upright(landmarks: Tensor, pose: Tensor) -> Tensor:
    """Landmarks (B, 478, 3) with the similarity `pose` (B, 4) undone."""
    x, y, log_scale, angle = pose[:, :, None].unbind(1)
    cosine, sine = angle.cos(), angle.sin()
    moved_x, moved_y = landmarks[..., 0] - x, landmarks[..., 1] - y
    turned = [cosine * moved_x + sine * moved_y, cosine * moved_y - sine * moved_x, landmarks[..., 2]]
    return torch.stack(turned, dim=-1) * (-log_scale).exp()[..., None]
