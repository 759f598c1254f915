"""How each pixel of a portrait follows its head, as a small network sees it in the picture.

Skinning lets a point follow a bone by a weight (Magnenat-Thalmann et al., "Joint-dependent local deformations for hand
animation and object grasping", Graphics Interface 1988). Here a pixel has three: how far it follows the head's turning,
its going about, and what the face's rim does beyond both, such as a chin that drops. Hair and ears follow in full,
collars a little, walls not at all. Its depth tells where turning takes it.

Letters: B batch, P points, S the side of the maps (SKIN_SIDE).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.face.crop import CROP_UNITS
from model.morphable.basis import ANGLES, HALF_CROP, LOG_SCALE, OFFSET
from model.morphable.mesh import RIM
from model.morphable.pose import rotation_matrix
from model.renderer.layers import NEGATIVE_SLOPE
from model.renderer.warping import pixel_centres
from model.weights.files import load_into, load_weights

SKINNING = "skinning"
"""Name of the released weights."""

SKIN_SIDE = 64
PICTURE_SIDE = 128
NEAR, NEARNESS = 40.0, 12.0  # crop units: where a point is taken to follow by half, and how fast that falls
RIM_REACH, RIM_FLOOR = 16.0, 0.2  # width of the rim's kernel in the same, and the sum of kernels that counts half
HEAD_STEPS = 3  # of the search for where a pixel came from, all being head; then how far each further step goes:
SKIN_STEPS = (0.7, 0.7, 0.6, 0.5, 0.4, 0.3, 0.22, 0.16, 0.12, 0.09)  # shorter and shorter, to settle where it stretches
DEPTH_UNIT = 64.0  # crop units that 1 of the network's output means
EVENED, EVENED_REACH = (2.0, 1.0), 6  # cells over which depth is evened, down and across, and how far that looks
GROUPS = 8
CHANNELS = (32, 48, 64, 96, 128)
LOGIT_GAIN = 4.0

_MESH_POINTS = 468  # of the landmarks; those of the irises come after


@dataclass(frozen=True)
class Skin:
    """B portraits and how they follow their heads; one may stand for several frames.

    landmarks (B, 478, 3) in crop units; motion (B, 70), the portrait's own; weights (B, 3, S, S), 0..1, of
    turning, going about and the rim; depth (B, S, S) in crop units, away from the viewer.
    """

    landmarks: Tensor
    motion: Tensor
    weights: Tensor
    depth: Tensor

    def origins(self, target: Tensor, motions: Tensor) -> tuple[Tensor, Tensor]:
        """Where the pixels of the result came from, and by how much that misses them.

        Backward flow (B, 2, S, S), and the distance (B, S, S) of q from where its origin goes, both in crop
        units. target (B, 478, 3) are the landmarks and motions (B, 70) the motions that the result shall have.

        Solves p + d(p) = q for every pixel q by damped fixed-point iteration (Krasnoselskii, "Two remarks on the method
        of successive approximations", 1955). The search starts where q would have come from if all were head, so that
        the head hides what it moves over; pixels that it leaves bare find no answer and end between, which stretches
        the background over them. Gradients reach d through the last step of the flow alone.
        """
        displacement, head = self.displacements(target, motions)
        with torch.no_grad():
            flow = torch.zeros_like(head)
            for _ in range(HEAD_STEPS):
                flow = _step_back(head, flow)
            for share in SKIN_STEPS:
                flow = torch.lerp(flow, _step_back(displacement, flow), share)
        found = _step_back(displacement, flow)
        missed = (found - flow).detach().norm(dim=1)
        return (flow + found - found.detach() if displacement.requires_grad else flow), missed

    def displacements(self, target: Tensor, motions: Tensor) -> tuple[Tensor, Tensor]:
        """Where the portrait's pixels go, and would go if all were head: (B, 2, S, S) in crop units."""
        points = torch.cat(
            [centres(SKIN_SIDE).expand(len(self.depth), -1, -1), self.depth.flatten(1).unsqueeze(-1)], -1
        )
        rim = self.landmarks[:, RIM]
        turned_rim, gone_rim = head_motion(rim, self.motion, motions)
        left = (target[:, RIM] - rim)[..., :2] - turned_rim - gone_rim
        parts = (*head_motion(points, self.motion, motions), self._nearness_to_rim @ left)
        moved = sum(
            weight.flatten(1).unsqueeze(-1) * part for weight, part in zip(self.weights.unbind(1), parts, strict=True)
        )
        return _as_map(cast(Tensor, moved)), _as_map(cast(Tensor, sum(parts)))

    def each(self) -> "Iterator[Skin]":
        """The portraits one by one."""
        for parts in zip(self.landmarks, self.motion, self.weights, self.depth, strict=True):
            yield Skin(*(part[None] for part in parts))

    @cached_property
    def _nearness_to_rim(self) -> Tensor:
        """Shares (B, S * S, P) of the rim's points in each pixel, which fade to nothing away from it."""
        kernel = torch.exp(-0.5 * (torch.cdist(centres(SKIN_SIDE), self.landmarks[:, RIM, :2]) / RIM_REACH).square())
        return kernel / (kernel.sum(-1, keepdim=True) + RIM_FLOOR)


def _as_map(values: Tensor) -> Tensor:
    """Values (B, S * S, 2) of the pixels, row by row, as a map (B, 2, S, S)."""
    return values.transpose(1, 2).unflatten(2, (SKIN_SIDE, SKIN_SIDE))


def _step_back(displacement: Tensor, flow: Tensor) -> Tensor:
    """A better backward flow: what the displacement (B, 2, S, S) is where `flow` (B, 2, S, S) leads, undone."""
    places = pixel_centres((flow.shape[2], flow.shape[3])) + flow / HALF_CROP
    return -F.grid_sample(displacement, places.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)


def head_motion(points: Tensor, own: Tensor, motions: Tensor) -> tuple[Tensor, Tensor]:
    """What the head's turning, and its shift and growth, add to `points` (B or 1, P, 3) that are fixed to it.

    Both (B, P, 2), in crop units as the points are. own (B or 1, 70) and motions (B, 70): see
    `MorphableModel.landmarks`, whose weak perspective x = s R X + t this undoes and does again.
    """
    grown = (motions[:, LOG_SCALE] - own[:, LOG_SCALE]).exp()[:, None, None]
    before, after = own[:, None, OFFSET] * HALF_CROP, motions[:, None, OFFSET] * HALF_CROP
    rotation = head_rotation(own, motions)
    fixed = torch.cat([points[..., :2] - HALF_CROP - before, points[..., 2:]], -1)
    turned = fixed @ rotation.transpose(-1, -2)
    return (turned - fixed)[..., :2], (grown - 1) * turned[..., :2] + after - before


def head_rotation(own: Tensor, motions: Tensor) -> Tensor:
    """The rotations (B, 3, 3) of heads from the pose of motions `own` (B or 1, 70) to that of `motions` (B, 70)."""
    return rotation_matrix(motions[:, ANGLES]) @ rotation_matrix(own[:, ANGLES]).transpose(-1, -2)


class SkinningNetwork(nn.Module):
    """An hourglass (Ronneberger et al., "U-Net", MICCAI 2015) from portrait and landmarks to weights and depth."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _convolution(6, CHANNELS[0], stride=2)
        steps = list(pairwise(CHANNELS))
        self.down = nn.ModuleList(nn.Sequential(_convolution(a, b, stride=2), _convolution(b, b)) for a, b in steps)
        self.up = nn.ModuleList(nn.Sequential(_convolution(a + b, a), _convolution(a, a)) for a, b in reversed(steps))
        self.last = nn.Conv2d(CHANNELS[0], 4, 3, padding=1)
        with torch.no_grad():
            for parameter in self.last.parameters():
                parameter.normal_(0, 1e-3)  # starts at what nearness alone says

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """The released network, or the one in `directory`.

        Raises WeightsError: weights or card are missing, damaged or do not fit.
        """
        network = cls()
        load_into(network, load_weights(SKINNING, directory)[0], SKINNING)
        return network.eval()

    def forward(self, source: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (B, 3, S, S) and depth (B, S, S), see `Skin`, of portraits (B, 3, H, W) in [-1, 1].

        landmarks (B, 478, 3) in crop units.
        """
        picture = F.interpolate(source, size=(PICTURE_SIDE, PICTURE_SIDE), mode="area")
        known = landmark_maps(landmarks)
        x = self.first(torch.cat([picture, known], 1))
        maps = []
        for down in self.down:
            maps.append(x)
            x = down(x)
        for up in self.up:
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0), maps.pop()], 1))
        raw = self.last(x)
        nearness, depth = F.avg_pool2d(known[:, :2], 2).unbind(1)
        following = torch.logit(nearness.clamp(0.03, 0.97)).unsqueeze(1) * nearness.new_tensor([1, 1, 0]).view(3, 1, 1)
        return torch.sigmoid(following + LOGIT_GAIN * raw[:, :3]), depth * HALF_CROP + DEPTH_UNIT * raw[:, 3]

    def skin(self, source: Tensor, landmarks: Tensor, motion: Tensor) -> Skin:
        """The skin of portraits (B, 3, H, W) in [-1, 1] with landmarks (B, 478, 3) and motion (B, 70)."""
        weights, depth = self(source, landmarks)
        return Skin(landmarks, motion, weights, _evened(depth))


def landmark_maps(landmarks: Tensor) -> Tensor:
    """What landmarks (B, 478, 3) say of the pixels around them, (B, 3, 128, 128).

    How near the nearest is (0..1), its depth in half crops, and whether the pixel lies inside the face's rim.
    """
    coarse = PICTURE_SIDE // 4
    mesh = landmarks[:, :_MESH_POINTS]
    distance, nearest = torch.cdist(centres(coarse), mesh[..., :2]).min(-1)  # (B, coarse * coarse)
    near = torch.stack([torch.sigmoid((NEAR - distance) / NEARNESS), mesh[..., 2].gather(1, nearest) / HALF_CROP], 1)
    near = F.interpolate(near.unflatten(2, (coarse, coarse)), scale_factor=4.0, mode="bilinear", align_corners=False)
    return torch.cat([near, inside_rim(landmarks)], 1)


def inside_rim(landmarks: Tensor) -> Tensor:
    """1 inside the rim of the faces of landmarks (B, 478, 3), 0 around: (B, 1, 128, 128)."""
    inside = np.zeros((len(landmarks), 1, PICTURE_SIDE, PICTURE_SIDE), np.float32)
    rims = landmarks[:, RIM, :2].numpy() * (PICTURE_SIDE / CROP_UNITS)
    for mask, rim in zip(inside[:, 0], rims.astype(np.float32), strict=True):
        cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(rim)).astype(np.int32), 1)
    return torch.from_numpy(inside)


def _evened(depth: Tensor) -> Tensor:
    """Depth (B, S, S) without the steps from one nearest landmark to the next, which tore ears into waves.

    They follow one another along the rim, from top to bottom beside ears; across it depth rises truly.
    """
    width = 2 * EVENED_REACH + 1
    at = torch.arange(width, dtype=depth.dtype, device=depth.device) - EVENED_REACH
    for axis, sigma in enumerate(EVENED):
        kernel = torch.exp(-0.5 * (at / sigma).square())
        shape, edge = ((width, 1), (0, 0)) if axis == 0 else ((1, width), (EVENED_REACH, EVENED_REACH))
        edges = (*edge, *(EVENED_REACH - part for part in edge))
        padded = F.pad(depth.unsqueeze(1), edges, mode="replicate")
        depth = F.conv2d(padded, (kernel / kernel.sum()).view(1, 1, *shape)).squeeze(1)
    return depth


def depth_inside(points: Tensor, rim: Tensor) -> Tensor:
    """How far points (P, 2) lie inside the convex hull of `rim` (N, 2), negative outside: (P,) in its unit."""
    corners = torch.from_numpy(cv2.convexHull(rim.numpy())[:, 0])
    along = F.normalize(corners.roll(-1, 0) - corners, dim=-1)
    inwards = torch.stack([-along[:, 1], along[:, 0]], -1)
    return ((points[:, None] - corners) * inwards).sum(-1).amin(-1)


def centres(side: int) -> Tensor:
    """Middles (1, side * side, 2), in crop units, of the cells that part the crop, row by row, x then y."""
    along = (torch.arange(side, dtype=torch.float32) + 0.5) * (CROP_UNITS / side)
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y], -1).reshape(1, -1, 2)


def _convolution(channels: int, out: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, 1), nn.GroupNorm(GROUPS, out), nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)
    )
