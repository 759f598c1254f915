"""A closer look at eyes and mouth: the same window at full detail, cut where the first estimate says they are.

Lids are a few pixels apart in a window that shows the whole face at 128 x 128, and a network that ends in 4 x 4 cells
places them loosely. Two small networks look at them larger: one at both eyes (the left one mirrored), one at the mouth.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.extractor.layers import ResidualBlock
from model.face.topology import LEFT_EYE_REGION, MOUTH_REGION, POINTS, RIGHT_EYE_REGION

# Half sides of the patches in units of the face's own window, and their sides in pixels.
EYE_EXTENT, EYE_SIZE = 0.25, 48
MOUTH_EXTENT, MOUTH_SIZE = 0.36, 64


class PatchNetwork(nn.Module):
    """A patch (B, 3, S, S) and where its points are thought to be (B, P, 2) -> how far they are off (B, P, 2)."""

    def __init__(self, points: int, size: int, *, channels: tuple[int, int, int] = (16, 32, 64)) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        previous = 3
        for number, width in enumerate(channels):
            stages += [
                nn.Conv2d(previous, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                *([ResidualBlock(width)] if number else []),
            ]
            previous = width
        self.size = size
        self.features: nn.Module = nn.Sequential(*stages)
        self.see = nn.Linear(previous * (size // 8) ** 2, 128)
        self.recall = nn.Linear(points * 2, 128, bias=False)
        self.output = nn.Linear(128, points * 2)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, patch: Tensor, rough: Tensor) -> Tensor:
        """Patch units: -1..1 over its side."""
        hidden = torch.relu(self.see(self.features(patch).flatten(1)) + self.recall(rough.flatten(1)))
        offsets: Tensor = self.output(hidden).float()
        return offsets.unflatten(-1, (-1, 2))


class Details(nn.Module):
    """Corrects the eyes' and the mouth's points of an upright face by what patches of its window show."""

    order: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.eye = PatchNetwork(len(RIGHT_EYE_REGION), EYE_SIZE)
        self.mouth = PatchNetwork(len(MOUTH_REGION), MOUTH_SIZE)
        # where each point's correction stands in (none, right eye, left eye, mouth)
        order = torch.zeros(POINTS, dtype=torch.long)
        order[list(RIGHT_EYE_REGION + LEFT_EYE_REGION + MOUTH_REGION)] = 1 + torch.arange(
            2 * len(RIGHT_EYE_REGION) + len(MOUTH_REGION)
        )
        self.register_buffer("order", order, persistent=False)

    def forward(self, window: Tensor, face: Tensor, to_window: Tensor) -> Tensor:
        """Corrections (B, 478, 2) of an upright face.

        Args:
            window: (B, 3, S, S).
            face: (B, 478, 3), upright, in units of its own window.
            to_window: (B, 2, 3), the similarity that lays it onto `window` (-1..1).
        """
        right, left, lips = (face[:, list(r), :2] for r in (RIGHT_EYE_REGION, LEFT_EYE_REGION, MOUTH_REGION))
        mirror = face.new_tensor([-1.0, 1.0])
        # the left eye upside right in a mirrored face: one network serves both
        eyes = torch.cat([right, left * mirror])
        eyes_centre, mouth_centre = eyes.mean(1, keepdim=True), lips.mean(1, keepdim=True)
        of_right, of_left = (_grid(EYE_SIZE, EYE_EXTENT, face) + eyes_centre).chunk(2)
        grid = torch.cat([of_right, of_left * mirror])
        patches = _sample(torch.cat([window, window]), grid, torch.cat([to_window, to_window]), EYE_SIZE)
        of_eyes = self.eye(patches, (eyes - eyes_centre) / EYE_EXTENT) * EYE_EXTENT
        of_right, of_left = of_eyes.chunk(2)
        patches = _sample(window, _grid(MOUTH_SIZE, MOUTH_EXTENT, face) + mouth_centre, to_window, MOUTH_SIZE)
        of_mouth = self.mouth(patches, (lips - mouth_centre) / MOUTH_EXTENT) * MOUTH_EXTENT
        none = torch.zeros_like(of_mouth[:, :1])
        return torch.cat([none, of_right, of_left * mirror, of_mouth], 1)[:, self.order]


def _grid(size: int, extent: float, like: Tensor) -> Tensor:
    """Middles (1, S * S, 2) of a patch's pixels around its centre, row by row."""
    steps = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) * (2 / size) - 1.0
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return extent * torch.stack([x, y], -1).reshape(1, size * size, 2)


def _sample(window: Tensor, points: Tensor, to_window: Tensor, size: int) -> Tensor:
    """Bilinear samples (B, 3, size, size) of windows at upright points (B, size * size, 2)."""
    with torch.autocast(window.device.type, enabled=False):  # places in bfloat16 would be off by a pixel
        places = points @ to_window[:, :, :2].transpose(1, 2) + to_window[:, None, :, 2]
        sampled = F.grid_sample(window, places.unflatten(1, (size, size)), padding_mode="border", align_corners=False)
    return sampled.contiguous(memory_format=torch.channels_last)
