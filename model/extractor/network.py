"""The extractor's network: a window of a picture -> 478 landmarks, the face's place in it, and confidence.

The landmarks are a similarity (place, size, turn) applied to a linear face: reference + coefficients * basis. The
similarity is at the same time the next window: looking again through it shows the face upright, centred and at one
size, so that two or three looks are precise from a rough start.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from model.extractor.topology import POINTS


class NetworkConfig(BaseModel):
    """Size of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_size: int = 128
    channels: tuple[int, ...] = (24, 40, 80, 160, 256)  # each stage halves the resolution
    blocks: tuple[int, ...] = (0, 1, 2, 2, 1)
    hidden: int = 256
    components: int = 128  # of the linear face


class Prediction(NamedTuple):
    """What one look gives, in window units (-1..1 over the window's side)."""

    landmarks: Tensor  # (B, 478, 3)
    face: Tensor  # (B, 478, 3): the same upright, centred and at the reference's size
    pose: Tensor  # (B, 4): x, y, log_scale, angle of the reference face
    presence: Tensor  # (B,) logit of: a whole face is there, roughly centred
    log_error: Tensor  # (B,) log of the landmarks' expected mean error in pixels of a 256 crop


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a short cut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        hidden = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(hidden)))


class FaceNetwork(nn.Module):
    """Residual CNN over one window.

    `reference` and `basis` start as the mean and the scaled principal components of the training faces (see
    `set_linear_face`); the basis is then trained along.
    """

    reference: Tensor

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        stages: list[nn.Module] = []
        previous = 3
        for channels, blocks in zip(config.channels, config.blocks, strict=True):
            stages += [
                nn.Conv2d(previous, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                *(ResidualBlock(channels) for _ in range(blocks)),
            ]
            previous = channels
        self.features = nn.Sequential(*stages)
        cells = (config.input_size >> len(config.channels)) ** 2
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(previous * cells, config.hidden), nn.ReLU())
        self.output = nn.Linear(config.hidden, config.components + 6)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)
        self.basis = nn.Parameter(torch.zeros(config.components, POINTS * 3))
        self.register_buffer("reference", torch.zeros(POINTS, 3))

    def set_linear_face(self, reference: Tensor, basis: Tensor) -> None:
        """Take a mean face (478, 3) in units of its own window and components (K', 478 * 3); missing ones stay zero."""
        with torch.no_grad():
            self.reference.copy_(reference)
            self.basis.zero_()
            self.basis[: len(basis)] = basis[: len(self.basis)]

    def forward(self, images: Tensor) -> Prediction:
        """Windows (B, 3, S, S) uint8 or float 0..255 -> Prediction."""
        x = images.float().div(127.5).sub(1.0).contiguous(memory_format=torch.channels_last)
        output = self.output(self.hidden(self.features(x))).float()
        coefficients, place, turn, presence, log_error = output.split([self.config.components, 2, 2, 1, 1], dim=-1)
        cosine, sine = 1.0 + turn[:, 0], turn[:, 1]  # scale * cos, scale * sin: no turn and no scaling at the start
        scale = (cosine.square() + sine.square() + 1e-6).sqrt()
        with torch.autocast(images.device.type, enabled=False):
            face = self.reference + (coefficients @ self.basis.float()).unflatten(-1, (POINTS, 3))
            x_face, y_face, z_face = face.unbind(-1)
            landmarks = torch.stack(
                [
                    cosine[:, None] * x_face - sine[:, None] * y_face + place[:, :1],
                    sine[:, None] * x_face + cosine[:, None] * y_face + place[:, 1:],
                    scale[:, None] * z_face,
                ],
                dim=-1,
            )
        pose = torch.cat([place, scale.log()[:, None], torch.atan2(sine, cosine)[:, None]], dim=-1)
        return Prediction(landmarks, face, pose, presence[:, 0], log_error[:, 0])
