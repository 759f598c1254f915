"""The other half of a face: what a portrait in half profile does not show, completed once from its mirror image.

A half profile hides a half of the face, which a frontal picture of it has to show. Faces are their own mirror images
but for light, so what lacks is read at the mirror points of the other half, its light fitted, and drawn once a portrait
on a *page*, where everything of a head is seen. Around the face a *halo*, a skirt that hangs from its rim and falls
back, carries ears and hair across. Frames read the page through the same mesh as the portrait, as far as they show more
of a point than the portrait did. At the middle of the face both halves are the same by construction, so that is where
they meet; a choice for each pixel by how squarely it was seen met amid cheeks and glasses, which it doubled.

Letters: P the 478 landmarks, V the vertices (landmarks, then the halo's), T triangles, N pixels, S the side of a map.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.arrays import Floats, Integers
from model.face.crop import CROP_UNITS
from model.face.topology import mirror_permutation
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES, HALF_CROP, LOG_SCALE
from model.morphable.mesh import (
    RIM,
    Raster,
    affine_maps,
    draw_triangles,
    face_mesh,
    interpolated,
    normals,
    unfolded,
)
from model.morphable.pose import rotation_matrix
from model.renderer.prior.skinning import SKIN_SIDE, Skin

PAGE_SIDE = 320  # pixels
PAGE_MARGIN = 4
TURNED = (0.2, 0.24)  # sines of the portrait's yaw from which on a half lacks, and lacks in full
WORSE = (0.1, 0.45)  # cosines by which a point is seen less squarely than its mirror image, where it lacks, and in full
# Cosines from which on a point lacks less whatever its mirror image, and not at all: while a half is seen from aside,
# fringes and light that are its own are kept; of one that is hidden all is taken from the other, as one picture.
SEEN = ((0.1, 0.35), (0.5, 0.75))
HIDES = (0.34, 0.6)  # sines of the portrait's yaw between the two
MORE = (0.15, 0.45)  # cosines by which a frame shows a point more squarely than the portrait, where it is completed
LEAST_SHARE = 0.01
BEHIND = (2.0, 6.0)  # pixels of depth by which a landmark lies behind what is seen there, where it is hidden, and fully
COVERED = 0.5  # cosine by which that makes it seen less squarely
SPREADING = 3  # rounds of means over neighbours, for hiding to change smoothly

# The halo's rings: how far they lie outwards of the rim in half widths of the face, and on the page; how much of them
# is shown. Skulls, ears and hair fall back as they go outwards.
RINGS = (0.1, 0.27, 0.53, 0.84)
ON_PAGE = (0.07, 0.18, 0.34, 0.5)
SHOWN = (1.0, 1.0, 0.9, 0.0)
FALLING = 1.3
NECK = (0.3, 0.8)  # half widths of the face under its middle, over which the halo ends: necks have no mirror image
HEAD = (0.4, 0.8)  # share in the head's turning from which on what lies around the face is taken for head
EDGE = 4.0  # pixels over which what lies at the crop's edge fades, since beyond it there is nothing to read

PAIR_SEEN = (0.0, 0.3)  # cosines from which on both points of a pair tell of the light
MOST_GAIN = 1.6
LIGHT_BLUR = 3.0  # crop units
DARKEST = 0.04  # of the range of values, added to all before logarithms are taken
LIGHT_RIDGE = 2.0  # pairs' worth of evidence that both halves have the same light, more of the same colour:
COLOUR_RIDGE = 20.0
LIGHT_NOISE = 0.15  # logarithm, from which on a pair is thought to differ by more than light
LIGHT_ROUNDS = 6
HALO_GAIN = 0.5  # of the rim's: hair and background have another light

CLEAR = 9.0  # pixels around the portrait's face, of which half is jaw still, that are not read beside a frame's
CLEAR_OVER, CLEAR_EDGE = 12.0, 4.0  # pixels over which that begins, in the middle of the face and at its outline
CLEAR_NEAR = 24.0  # pixels by which it reaches over the middle, where chins bulge
CLEAR_BELOW = (0.15, 0.35)  # from the bridge of the nose down, in half crops of a head of scale 1: foreheads are bare
CLEARED = (0.04, 0.25)  # sines by which a frame is turned back to the front, from which on it is, and in full

_BRIDGE, _MIDDLE = 168, [168, 6, 2, 0, 17, 152]  # landmarks


@dataclass(frozen=True)
class Completion:
    """What a portrait lacks, for the frames that show it.

    page (PAGE_SIDE, PAGE_SIDE, 4): colours in [-1, 1] and how much of each pixel is head, 0..1. mirrored and gain
    (PAGE_SIDE, PAGE_SIDE, 2 and 3): where in the portrait the page was read, in crop units, and what its
    light was multiplied by. lacks (V,), 0..1: how much of each vertex is missing; shown (V,): how squarely the portrait
    shows it, see `Completer._shown`; sine: of its yaw. pushed (1, 2, SKIN_SIDE, SKIN_SIDE): see `clearing`.
    """

    page: Floats
    mirrored: Floats
    gain: Floats
    lacks: Floats
    shown: Floats
    pushed: Tensor
    sine: float

    def clearing(self, around: Tensor, motions: Tensor) -> Tensor:
        """What to add to the flow `around` faces (B, 2, S, S) so that it does not read the portrait's: of its shape.

        All in crop units; motions (B, 70). What a face that is turned to the front leaves bare was behind
        it in the portrait. There the skin's search ends in the face's outline, and would pull chins out over walls.
        """
        side = around.shape[-1]
        cells = (torch.arange(side, dtype=torch.float32) + 0.5) * (CROP_UNITS / side)
        at = around + torch.stack(torch.meshgrid(cells, cells, indexing="xy"))
        back = (self.sine - motions[:, ANGLES.start].sin()) * np.sign(self.sine)
        pushed = self.pushed * torch.from_numpy(_between(back.numpy(), CLEARED)).view(-1, 1, 1, 1)
        places = (at / HALF_CROP - 1).permute(0, 2, 3, 1)
        return F.grid_sample(pushed, places, padding_mode="border", align_corners=False)


class Pose(NamedTuple):
    """How a head stands: rotation (3, 3) and scale."""

    rotation: Floats
    scale: float


class Completed(NamedTuple):
    """What a frame has of the page, in a box (h, w) of its rows and columns.

    share (h, w), 0..1; colours, three of (h, w) in [-1, 1].
    """

    box: tuple[slice, slice]
    share: Floats
    colours: Sequence[Floats]


class Completer:
    """Makes completions, and what frames have of them; holds the mesh of heads with its halo."""

    def __init__(self, morphable: MorphableModel) -> None:
        face = face_mesh(morphable)
        count, rim = len(morphable.mean), np.array(RIM)
        other = mirror_permutation(morphable.mean.numpy())
        flipped = np.array([-1.0, 1.0, 1.0], np.float32)
        mean = unfolded(morphable).numpy() - morphable.mean.numpy().mean(0)
        even = (mean + mean[other] * flipped) / 2  # its own mirror image, about x = 0
        half_width = float(np.abs(even[rim, 0]).max())
        outwards = even[rim, :2] - even[rim, :2].mean(0)
        outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
        falling = half_width * np.concatenate([outwards, np.full((len(rim), 1), FALLING)], 1)
        self._offsets = np.concatenate([reach * falling for reach in RINGS]).astype(np.float32)
        self._landmark = np.concatenate([np.arange(count), np.tile(rim, len(RINGS))])  # that a vertex belongs to
        place = np.argsort(rim)[np.searchsorted(np.sort(rim), other[rim])]
        rings = count + len(rim) * np.arange(len(RINGS))[:, None]
        self._mirror = np.concatenate([other, (rings + place).ravel()])
        self._halo = _skirt(np.concatenate([rim[None], rings + np.arange(len(rim))]))
        self._face, self._faces = face, count
        self._across, self._down = (even[:, axis] / half_width for axis in (0, 1))
        above = 1 - _between(self._down[rim], NECK)
        self._fade = np.concatenate([np.ones(count), np.outer(SHOWN, above).ravel()]).astype(np.float32)
        spread = np.concatenate([even[:, :2], *(even[rim, :2] + half_width * part * outwards for part in ON_PAGE)])
        low, high = spread.min(0), spread.max(0)
        scale = (PAGE_SIDE - 2 * PAGE_MARGIN) / float((high - low).max())
        self._on_page = ((spread - (low + high) / 2) * scale + PAGE_SIDE / 2).astype(np.float32)
        corners = np.concatenate([self._halo, face])
        self._page_drawn = draw_triangles(np.pad(self._on_page, ((0, 0), (0, 1))), corners, (PAGE_SIDE, PAGE_SIDE))
        neighbours = np.zeros((count, count), np.float32)
        neighbours[face[:, [0, 1, 2, 0, 1, 2]], face[:, [1, 2, 0, 2, 0, 1]]] = 1
        neighbours += np.eye(count, dtype=np.float32)
        self._spreading = neighbours / neighbours.sum(1, keepdims=True)
        facing = self._spread(normals(morphable.mean, torch.from_numpy(face)).numpy())
        facing = facing + facing[other] * flipped
        self._facing = facing / np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-6)

    def complete(self, portrait: Floats, skin: Skin) -> Completion | None:
        """What a portrait (H, W, 3) in [-1, 1] with a skin (1) lacks, or None where it shows both sides of the face."""
        sine = float(skin.motion[0, ANGLES.start].sin())
        turned, hides = (_between(np.array(abs(sine), np.float32), limits).item() for limits in (TURNED, HIDES))
        if turned == 0:
            return None
        pose = poses(skin.motion[:1])[0]
        points = self._vertices(skin.landmarks[0].numpy(), pose)
        squarely = self._shown(pose.rotation)
        shown = squarely.copy()
        shown[: self._faces] -= COVERED * self._covered(points[: self._faces])
        (low, high), (low_hidden, high_hidden) = SEEN
        seen = _between(shown, (low + hides * (low_hidden - low), high + hides * (high_hidden - high)))
        lacks = _between(shown[self._mirror] - shown, WORSE) * (1 - seen) * self._fade * np.float32(turned)
        number = self._page_drawn.number
        values = np.concatenate([points[self._mirror, :2], self._gains(portrait, points[:, :2], shown)], 1)
        pixels, known = interpolated(self._page_drawn, self._on_page, values)
        mirrored, gain = np.zeros((*number.shape, 2), np.float32), np.ones((*number.shape, 3), np.float32)
        mirrored.reshape(-1, 2)[pixels], gain.reshape(-1, 3)[pixels] = known[:, :2], known[:, 2:]
        head = np.maximum(_between(_read(skin.weights[0, 0].numpy(), mirrored), HEAD), number >= len(self._halo))
        edge = np.minimum(mirrored, CROP_UNITS - mirrored).min(-1)
        head = head * _between(edge, (0.0, EDGE)) * (number >= 0)
        return Completion(
            page=_page(portrait, mirrored, gain, head.astype(np.float32)),
            mirrored=mirrored,
            gain=gain,
            lacks=lacks,
            shown=squarely,
            pushed=self._pushed(points, pose, hides),
            sine=sine,
        )

    def frame(self, completion: Completion, target: Floats, pose: Pose, raster: Raster, side: int) -> Completed | None:
        """What a frame of landmarks `target` (P, 3), in crop units, has of the page, if anything.

        raster: the face's mesh as the frame shows it, on a map of `side` pixels.
        """
        share = completion.lacks * _between(self._shown(pose.rotation) - completion.shown, MORE)
        if share.max() < LEAST_SHARE:
            return None
        points = self._vertices(target, pose) * np.float32(side / CROP_UNITS)
        halo, face = (corners[(share[corners] > 0).any(1)] for corners in (self._halo, raster.corners))
        within = points[np.concatenate([halo, face]).ravel(), :2].clip(0, side)
        if not len(within):
            return None
        left, top = map(math.floor, within.min(0).tolist())
        right, bottom = map(math.ceil, within.max(0).tolist())
        if left >= right or top >= bottom:
            return None
        points[:, :2] -= (left, top)
        # Which half of the halo's strip is seen at the rim is as rough as the landmarks there; behind the face it lies.
        behind = draw_triangles(points, halo, (bottom - top, right - left), both_sides=True)
        of_face = raster.number[top:bottom, left:right]
        number = np.where(of_face < 0, behind.number, of_face + np.int32(len(behind.corners)))
        corners = np.concatenate([behind.corners, raster.corners])
        x, y, shares = affine_maps(number, points[corners], np.concatenate([self._on_page, share[:, None]], 1)[corners])
        half = np.float32(0.5)
        read = cv2.remap(completion.page, x - half, y - half, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        *colours, head = cv2.split(read)
        shares = np.clip(shares, 0, 1) * head  # outlines' pixels lie a little outside of their triangles
        return Completed(np.s_[top:bottom, left:right], shares, colours)

    def _vertices(self, landmarks: Floats, pose: Pose) -> Floats:
        """Landmarks (P, 3) of a head in a pose and its halo's points: (V, 3) in crop units."""
        halo = landmarks[self._landmark[self._faces :]] + HALF_CROP * pose.scale * self._offsets @ pose.rotation.T
        return np.concatenate([landmarks, halo]).astype(np.float32)

    def _shown(self, rotation: Floats) -> Floats:
        """How squarely the camera sees a head's vertices: cosines of their normals to its axis, (V,)."""
        cosines: Floats = -(self._facing @ rotation[2])[self._landmark]
        return cosines

    def _covered(self, points: Floats) -> Floats:
        """How far landmarks (P, 3) are hidden behind other parts of the face, such as the nose: (P,), 0..1."""
        drawn = draw_triangles(points, self._face, (CROP_UNITS, CROP_UNITS))
        pixels, depth = interpolated(drawn, points, points[:, 2:])
        seen = np.full((CROP_UNITS, CROP_UNITS), 1e3, np.float32)
        seen.reshape(-1)[pixels] = depth[:, 0]
        covered = _between(points[:, 2] - _read(seen, points[None, :, :2])[0], BEHIND)
        return self._spread(covered)

    def _spread(self, values: Floats) -> Floats:
        """What landmarks have, (P,) or (P, C), made to change smoothly over the face."""
        for _ in range(SPREADING):
            values = self._spreading @ values
        return values

    def _gains(self, portrait: Floats, points: Floats, shown: Floats) -> Floats:
        """What the light of mirror images is multiplied by at the vertices, so that it becomes their own: (V, 3).

        Its logarithm is linear across the face, 0 in the middle, and fitted to the pairs that the portrait shows, those
        less that are unlike for other reasons than light (reweighted least squares).
        """
        points, shown = points[: self._faces], shown[: self._faces]
        other = self._mirror[: self._faces]
        soft = cv2.GaussianBlur(portrait, (0, 0), LIGHT_BLUR * portrait.shape[1] / CROP_UNITS)
        light = np.log(_read(soft, points[None])[0] / 2 + 0.5 + DARKEST)
        basis = np.stack([self._across, self._across * self._down], 1)
        sure = _between(np.minimum(shown, shown[other]), PAIR_SEEN) * (self._across > 0)
        ratio = (light - light[other]).astype(np.float64)
        grey = ratio.mean(1, keepdims=True)
        logarithm = np.zeros_like(ratio)
        for part, ridge in ((np.repeat(grey, 3, 1), LIGHT_RIDGE), (ratio - grey, COLOUR_RIDGE)):
            weight = sure
            for _ in range(LIGHT_ROUNDS):
                weighted = basis * weight[:, None]
                found = basis @ np.linalg.solve(weighted.T @ basis + ridge * np.eye(2), weighted.T @ part)
                weight = sure / (1 + np.square((part - found) / LIGHT_NOISE).mean(1))
            logarithm += found
        gains = logarithm.clip(-np.log(MOST_GAIN), np.log(MOST_GAIN))[self._landmark]
        gains[self._faces :] *= HALO_GAIN
        return np.exp(gains).astype(np.float32)

    def _pushed(self, points: Floats, pose: Pose, hides: float) -> Tensor:
        """How far what is read beside the portrait's chin is pushed out of it: (1, 2, SKIN_SIDE, SKIN_SIDE) in pixels.

        Sideways as the head stands, to the face's outline on the side that the portrait hides.
        """
        to_side = np.sign(pose.rotation[2, 0])
        across = pose.rotation[:2, 0] / max(float(np.hypot(*pose.rotation[:2, 0])), 1e-6)
        aside, down = to_side * across, np.array([-across[1], across[0]])
        cells = (np.arange(SKIN_SIDE, dtype=np.float32) + 0.5) * np.float32(CROP_UNITS / SKIN_SIDE)
        at = np.stack(np.meshgrid(cells, cells), -1)
        outline = cv2.convexHull(np.ascontiguousarray(points[: self._faces, :2]))[:, 0]
        along = np.roll(outline, -1, 0) - outline
        inwards = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1), 1e-6)[:, None]
        depth = ((at[:, :, None] - outline) * inwards).sum(-1) + CLEAR  # within each of the outline's edges
        slope = -(inwards @ aside)  # by which a step aside leads out of it
        leaves = np.where(slope > 1e-3, depth / np.maximum(slope, 1e-3), np.inf).min(-1)
        share = hides * _between(depth.min(-1), (0.0, CLEAR_EDGE))
        share *= _between((at - points[_MIDDLE, :2].mean(0)) @ aside + CLEAR_NEAR, (0.0, CLEAR_OVER))
        share *= _between((at - points[_BRIDGE, :2]) @ down / (HALF_CROP * pose.scale), CLEAR_BELOW)
        pushed = (share * leaves)[..., None] * aside
        return torch.from_numpy(pushed.transpose(2, 0, 1).astype(np.float32)[None])


def _page(portrait: Floats, mirrored: Floats, gain: Floats, head: Floats) -> Floats:
    colours = (_read(portrait, mirrored) + 1) * gain - 1
    return np.dstack([np.clip(colours, -1, 1), head])


def _skirt(rings: Integers) -> Integers:
    """Triangles (T, 3) between rings (R, n) of vertices, clockwise as the rings are, from the outermost inwards."""
    inner, outer = rings[:-1][::-1], rings[1:][::-1]
    after, beyond = np.roll(inner, -1, 1), np.roll(outer, -1, 1)
    strips = np.stack([np.stack([inner, outer, beyond], -1), np.stack([inner, beyond, after], -1)], 2)
    return strips.reshape(-1, 3)


def poses(motions: Tensor) -> list[Pose]:
    """How heads stand in motions (B, 70)."""
    rotations, scales = rotation_matrix(motions[:, ANGLES]).numpy(), motions[:, LOG_SCALE].exp().tolist()
    return [Pose(rotation, scale) for rotation, scale in zip(rotations, scales, strict=True)]


def _read(picture: Floats, places: Floats) -> Floats:
    """A picture (H, W) or (H, W, C) of the crop, read at places (h, w, 2) in crop units."""
    where = places * np.float32(picture.shape[1] / CROP_UNITS) - np.float32(0.5)
    read: Floats = cv2.remap(picture, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return read


def _between(value: Floats, limits: tuple[float, float]) -> Floats:
    """0 up to the lower limit, 1 from the upper one on, level at both."""
    low, high = limits
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
