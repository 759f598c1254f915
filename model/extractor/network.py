"""The extractor's network: a window of a picture -> 478 landmarks, the face's place in it, and confidence.

The landmarks are a similarity (place, size, turn) applied to a linear face: reference + coefficients * basis. The
similarity is at the same time the next window: looking again through it shows the face upright, centred and at one
size, so that two or three looks are precise from a rough start.
"""

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from model.extractor.details import Details
from model.extractor.layers import ResidualBlock
from model.face.topology import POINTS


class NetworkConfig(BaseModel):
    """Size of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_size: int = 128
    channels: tuple[int, ...] = (24, 40, 80, 160, 256)  # each stage halves the resolution
    blocks: tuple[int, ...] = (0, 1, 2, 2, 1)
    hidden: int = 256
    components: int = 128  # of the linear face
    window_size: int | None = None  # of the windows, in which eyes and mouth are looked at closer; None: they are not

    @property
    def sharp_size(self) -> int:
        """Side in pixels of the windows that show all the network can see."""
        return self.window_size or self.input_size


class Prediction(NamedTuple):
    """What one look gives, in window units (-1..1 over the window's side)."""

    landmarks: Tensor  # (B, 478, 3)
    face: Tensor  # (B, 478, 3): the same upright, centred and at the reference's size
    rough_face: Tensor  # (B, 478, 3): `face` before the closer look
    pose: Tensor  # (B, 4): x, y, log_scale, angle of the reference face
    presence: Tensor  # (B,) logit of: a whole face is there, roughly centred
    log_error: Tensor  # (B,) log of the landmarks' expected mean error in crop units


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
        self.features: nn.Module = nn.Sequential(*stages)
        cells = (config.input_size >> len(config.channels)) ** 2
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(previous * cells, config.hidden), nn.ReLU())
        self.output = nn.Linear(config.hidden, config.components + 6)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)
        self.basis = nn.Parameter(torch.zeros(config.components, POINTS * 3))
        self.register_buffer("reference", torch.zeros(POINTS, 3))
        self.details = Details() if config.window_size is not None else None

    def set_linear_face(self, reference: Tensor, basis: Tensor) -> None:
        """Take a mean face (478, 3) in units of its own window and components (K', 478 * 3); missing ones stay zero."""
        with torch.no_grad():
            self.reference.copy_(reference)
            self.basis.zero_()
            self.basis[: len(basis)] = basis[: len(self.basis)]

    def forward(self, images: Tensor, *, closely: bool = True) -> Prediction:
        """Windows (B, 3, S, S) uint8 or float 0..255 -> Prediction; without the closer look unless `closely`."""
        windows = images.float().div(127.5).sub(1.0)
        size = self.config.input_size
        x = windows
        if windows.shape[-1] != size:
            x = F.interpolate(windows, size=(size, size), mode="bilinear", align_corners=False)
        output = self.output(self.hidden(self.features(x.contiguous(memory_format=torch.channels_last)))).float()
        coefficients, place, turn, presence, log_error = output.split([self.config.components, 2, 2, 1, 1], dim=-1)
        cosine, sine = 1.0 + turn[:, 0], turn[:, 1]  # scale * cos, scale * sin: no turn and no scaling at the start
        scale = (cosine.square() + sine.square() + 1e-6).sqrt()
        with torch.autocast(images.device.type, enabled=False):
            rough = face = self.reference + (coefficients @ self.basis.float()).unflatten(-1, (POINTS, 3))
            to_window = torch.stack([cosine, -sine, place[:, 0], sine, cosine, place[:, 1]], -1).unflatten(-1, (2, 3))
        if self.details is not None and closely:
            face = self._correct(self.details, windows, rough, to_window)
        with torch.autocast(images.device.type, enabled=False):
            plane = face[..., :2] @ to_window[:, :, :2].transpose(1, 2) + place[:, None]
            landmarks = torch.cat([plane, scale[:, None, None] * face[..., 2:]], -1)
        pose = torch.cat([place, scale.log()[:, None], torch.atan2(sine, cosine)[:, None]], dim=-1)
        return Prediction(landmarks, face, rough, pose, presence[:, 0], log_error[:, 0])

    def _correct(self, details: Details, windows: Tensor, rough: Tensor, to_window: Tensor) -> Tensor:
        """The face with eyes and mouth as a closer look has them.

        Each half learns from its own error: where the details answer for a point, no gradient reaches `rough`.
        """
        corrections = details(windows, rough.detach(), to_window.detach())
        answered = (details.order > 0)[:, None]
        held = torch.where(answered, rough.detach(), rough)
        return held + F.pad(corrections, (0, 1))
