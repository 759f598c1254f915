"""Rotations and the closed-form weak-perspective pose.

Axes as in a picture: x right, y down, z away from the camera (the nose has negative z).
Angles in radians: positive yaw turns the nose to the viewer's right, positive pitch turns it up,
positive roll turns the head clockwise as seen. R = R_roll R_yaw R_pitch.
"""

import torch
from torch import Tensor


def rotation_matrix(angles: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of `angles` (..., 3): yaw, pitch, roll in radians."""
    yaw, pitch, roll = angles.unbind(-1)
    cy, sy, cp, sp, cr, sr = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin(), roll.cos(), roll.sin()
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    r_yaw = torch.stack([cy, zero, -sy, zero, one, zero, sy, zero, cy], -1)
    r_pitch = torch.stack([one, zero, zero, zero, cp, sp, zero, -sp, cp], -1)
    r_roll = torch.stack([cr, -sr, zero, sr, cr, zero, zero, zero, one], -1)
    shape = (*yaw.shape, 3, 3)
    return r_roll.reshape(shape) @ r_yaw.reshape(shape) @ r_pitch.reshape(shape)


def rotation_angles(rotation: Tensor) -> Tensor:
    """Yaw, pitch, roll (..., 3) in radians of `rotation` (..., 3, 3).

    The inverse of `rotation_matrix` while |yaw| < 90 degrees.
    """
    # R's third row is (sin yaw, -cos yaw sin pitch, cos yaw cos pitch), its first column cos yaw (cos, sin roll, .).
    sin_yaw = rotation[..., 2, 0].clamp(-1.0, 1.0)
    yaw = torch.asin(sin_yaw)
    pitch = torch.atan2(-rotation[..., 2, 1], rotation[..., 2, 2])
    roll = torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0])
    return torch.stack([yaw, pitch, roll], -1)


def similarity(source: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale s (...), rotation R (..., 3, 3) and translation t (..., 3) that minimise sum w |s R source + t - target|^2.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.

    Args:
        source: points (..., N, 3).
        target: points (..., N, 3).
        weights: (N,), non-negative.
    """
    weight = (weights / weights.sum()).unsqueeze(-1)
    source_mean = (weight * source).sum(-2, keepdim=True)
    target_mean = (weight * target).sum(-2, keepdim=True)
    centred_source, centred_target = source - source_mean, target - target_mean
    covariance = (weight * centred_target).transpose(-1, -2) @ centred_source
    u, singular, vh = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    sign[..., -1] = torch.det(u @ vh).sign()
    rotation = u @ (sign.unsqueeze(-1) * vh)
    variance = (weight * centred_source.square()).sum((-1, -2))
    scale = (singular * sign).sum(-1) / variance
    translation = target_mean.squeeze(-2) - scale.unsqueeze(-1) * (rotation @ source_mean.transpose(-1, -2)).squeeze(-1)
    return scale, rotation, translation
