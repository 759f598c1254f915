"""The other half of a face: what a portrait in half profile does not show, completed once from its mirror image.

A half profile hides a half of the face, which a frontal picture of it has to show. Faces are their own mirror images
but for light, so what lacks is read at the mirror points of the other half, its light fitted, and drawn once a portrait
on a *page*, where everything of a head is seen. Around the face a *halo*, a skirt that hangs from its rim and falls
back, carries ears and hair across. Frames read the page through the same mesh as the portrait, as far as they show more
of a point than the portrait did. At the middle of the face both halves are the same by construction, so that is where
they meet; a choice for each pixel by how squarely it was seen met amid cheeks and glasses, which it doubled.

Letters: P the 478 landmarks, V the vertices (landmarks, then the halo's), T triangles, N pixels, S the side of a map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.extractor.topology import mirror_permutation
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES, HALF_CROP, LOG_SCALE
from model.morphable.mesh import Drawing, draw_triangles, edges_and_area, face_mesh, interpolated, normals, parted_lips
from model.morphable.pose import rotation_matrix
from model.renderer.skinning import RIM, SKIN_SIDE, Skin

PAGE_SIDE = 320  # pixels
PAGE_MARGIN = 4
TURNED = (0.2, 0.36)  # sines of the portrait's yaw from which on a half lacks, and lacks in full
WORSE = (0.1, 0.45)  # cosines by which a point is seen less squarely than its mirror image, where it lacks, and in full
SEEN = (0.5, 0.75)  # cosines from which on a point lacks less whatever its mirror image, and not at all
MORE = (0.06, 0.3)  # cosines by which a frame shows a point more squarely than the portrait, where it is completed
LEAST_SHARE = 0.01
BEHIND = (2.0, 6.0)  # pixels of depth by which a landmark lies behind what is seen there, where it is hidden, and fully
COVERED = 0.5  # cosine by which that makes it seen less squarely
SPREADING = 3  # rounds of means over neighbours, for hiding to change smoothly

# The halo's rings: how far they lie outwards of the rim in half widths of the face, and on the page; how much of them
# is shown. Skulls, ears and hair fall back as they go outwards.
RINGS = (0.07, 0.18, 0.34, 0.56, 0.84)
ON_PAGE = (0.05, 0.12, 0.22, 0.36, 0.5)
SHOWN = (1.0, 1.0, 1.0, 0.9, 0.0)
FALLING = 1.3
HEAD = (0.4, 0.8)  # share in the head's turning from which on what lies around the face is taken for head
EDGE = 4.0  # pixels over which what lies at the crop's edge fades, since beyond it there is nothing to read

PAIR_SEEN = (0.0, 0.3)  # cosines from which on both points of a pair tell of the light
MOST_GAIN = 1.6
LIGHT_BLUR = 3.0  # pixels
LIGHT_RIDGE = 2.0  # pairs' worth of evidence that both halves have the same light, more of the same colour:
COLOUR_RIDGE = 20.0
LIGHT_NOISE = 0.15  # logarithm, from which on a pair is thought to differ by more than light
LIGHT_ROUNDS = 6
HALO_GAIN = 0.5  # of the rim's: hair and background have another light

CLEAR = 3.0  # pixels that are kept clear of the portrait's face by what is read around it
CLEAR_OVER = 12.0
BENEATH = 0.5  # half widths of the face under its middle, from where on the halo belongs to its outline: below the jaw
CLEARED = (0.04, 0.25)  # sines by which a frame is turned back to the front, from which on it is, and in full

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Completion:
    """What a portrait lacks, for the frames that show it.

    page (PAGE_SIDE, PAGE_SIDE, 4): colours in [-1, 1] and how much of each pixel is head, 0..1. mirrored and gain
    (PAGE_SIDE, PAGE_SIDE, 2 and 3): where in the portrait the page was read, in pixels of the 256 crop, and what its
    light was multiplied by. lacks (V,), 0..1: how much of each vertex is missing; shown (V,): how squarely the portrait
    shows it. pushed (2, SKIN_SIDE, SKIN_SIDE): see `cleared`.
    """

    page: Floats
    mirrored: Floats
    gain: Floats
    lacks: Floats
    shown: Floats
    pushed: Tensor
    sine: float

    def cleared(self, around: Tensor, motions: Tensor) -> Tensor:
        """Flow `around` a face (B, 2, S, S), in pixels of the 256 crop, that does not read the hidden half's outline.

        What a turning face leaves bare beside it was behind it in the portrait; the skin's search ends in the face's
        outline there and would pull brows and chins out over hair and wall.
        """
        side = around.shape[-1]
        unit = 256.0 / side
        cells = (torch.arange(side, dtype=torch.float32) + 0.5) * unit
        at = around + torch.stack(torch.meshgrid(cells, cells, indexing="xy"))
        places = (at / HALF_CROP - 1).permute(0, 2, 3, 1)
        back = (self.sine - motions[:, ANGLES.start].sin()) * np.sign(self.sine)
        pushed = self.pushed * torch.from_numpy(_between(back.numpy(), CLEARED)).view(-1, 1, 1, 1)
        return around + torch.nn.functional.grid_sample(pushed, places, padding_mode="border", align_corners=False)

    def redrawn(self, portrait: Floats, side: int) -> Floats:
        """The page with `side` pixels a side, from a finer picture (H, W, 3) of the crop in [-1, 1]: (side, side, 4)."""
        maps = (
            cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR)
            for part in (self.mirrored, self.gain, self.page[..., 3])
        )
        return _page(portrait, *maps)


class Completed(NamedTuple):
    """What a frame has of the page: share (S, S), 0..1; colours (S, S, 3) times it; places (S, S, 2), where the page is
    read, -1 and 1 being its edges.
    """

    share: Floats
    colours: Floats
    places: Floats


class Completer:
    """Makes completions, and what frames have of them; holds the mesh of heads with its halo."""

    def __init__(self, morphable: MorphableModel) -> None:
        face = face_mesh(morphable)
        count, rim = len(morphable.mean), np.array(RIM)
        other = mirror_permutation(morphable.mean.numpy())
        flipped = np.array([-1.0, 1.0, 1.0], np.float32)
        mean = parted_lips(morphable).numpy() - morphable.mean.numpy().mean(0)
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
        facing = normals(morphable.mean, torch.from_numpy(face)).numpy()
        facing = facing + facing[other] * flipped
        self._facing = facing / np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-6)
        self._fade = np.concatenate([np.ones(count), np.repeat(SHOWN, len(rim))]).astype(np.float32)
        self._across, self._down = (even[:, axis] / half_width for axis in (0, 1))
        spread = np.concatenate([even[:, :2], *(even[rim, :2] + half_width * part * outwards for part in ON_PAGE)])
        low, high = spread.min(0), spread.max(0)
        scale = (PAGE_SIDE - 2 * PAGE_MARGIN) / float((high - low).max())
        self._on_page = ((spread - (low + high) / 2) * scale + PAGE_SIDE / 2).astype(np.float32)
        corners = np.concatenate([self._halo, face])
        self._page_drawn = draw_triangles(np.pad(self._on_page, ((0, 0), (0, 1))), corners, PAGE_SIDE, sort=False)
        neighbours = np.zeros((count, count), np.float32)
        neighbours[face[:, [0, 1, 2, 0, 1, 2]], face[:, [1, 2, 0, 2, 0, 1]]] = 1
        neighbours += np.eye(count, dtype=np.float32)
        self._spreading = neighbours / neighbours.sum(1, keepdims=True)

    def complete(self, portrait: Floats, skin: Skin) -> Completion | None:
        """What a portrait (H, W, 3) in [-1, 1] with a skin (1) lacks, or None where it shows both sides of the face."""
        turned = _between(np.abs(np.sin(skin.motion[0, ANGLES.start].numpy())), TURNED)
        if turned == 0:
            return None
        rotation, scale = _pose(skin.motion[0])
        points = self._vertices(skin.landmarks[0].numpy(), rotation, scale)
        shown = self._shown(rotation)
        shown[: self._faces] -= COVERED * self._covered(points[: self._faces])
        lacks = _between(shown[self._mirror] - shown, WORSE) * (1 - _between(shown, SEEN)) * self._fade * turned
        number, corners = self._page_drawn
        values = np.concatenate([points[self._mirror, :2], self._gains(portrait, points[:, :2], shown)], 1)
        pixels, known = interpolated(self._page_drawn, self._on_page, values)
        mirrored, gain = np.zeros((*number.shape, 2), np.float32), np.ones((*number.shape, 3), np.float32)
        mirrored.reshape(-1, 2)[pixels], gain.reshape(-1, 3)[pixels] = known[:, :2], known[:, 2:]
        head = np.maximum(_between(_read(skin.weights[0, 0].numpy(), mirrored), HEAD), number >= len(self._halo))
        edge = np.minimum(mirrored, 256 - mirrored).min(-1)
        head = head * _between(edge, (0.0, EDGE)) * (number >= 0)
        return Completion(
            page=_page(portrait, mirrored, gain, head.astype(np.float32)),
            mirrored=mirrored,
            gain=gain,
            lacks=lacks.astype(np.float32),
            shown=shown,
            pushed=self._pushed(points, rotation, turned),
            sine=float(skin.motion[0, ANGLES.start].sin()),
        )

    def frame(
        self, completion: Completion, target: Floats, motion: Tensor, drawn: Drawing, side: int
    ) -> Completed | None:
        """What a frame of landmarks `target` (P, 3), in pixels of the 256 crop, and motion (70,) has of the page.

        drawn: the face's mesh as the frame shows it. None where the frame has nothing of the page.
        """
        rotation, scale = _pose(motion)
        share = completion.lacks * _between(self._shown(rotation) - completion.shown, MORE)
        if share.max() < LEAST_SHARE:
            return None
        points = self._vertices(target, rotation, scale) * np.float32(side / 256.0)
        halo = self._halo[(share[self._halo] > 0).any(1)]
        behind = draw_triangles(points, halo, side, both_sides=True)
        values = np.concatenate([self._on_page, share[:, None]], 1)
        maps = np.zeros((side, side, 3), np.float32)
        behind.number[drawn.number >= 0] = -1
        for part in (behind, drawn):
            pixels, known = interpolated(part, points, values, only=share)
            maps.reshape(-1, 3)[pixels] = known
        places, shares = maps[..., :2], maps[..., 2]
        read = cv2.remap(completion.page, places - 0.5, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shares = shares * read[..., 3]
        return Completed(shares, read[..., :3] * shares[..., None], places * np.float32(2 / PAGE_SIDE) - 1)

    def _vertices(self, landmarks: Floats, rotation: Floats, scale: float) -> Floats:
        """Landmarks (P, 3) of a head in a pose and its halo's points: (V, 3) in pixels of the 256 crop."""
        halo = landmarks[self._landmark[self._faces :]] + HALF_CROP * scale * self._offsets @ rotation.T
        return np.concatenate([landmarks, halo]).astype(np.float32)

    def _shown(self, rotation: Floats) -> Floats:
        """How squarely the camera sees a head's vertices: cosines of their normals to its axis, (V,)."""
        cosines: Floats = -(self._facing @ rotation[2])[self._landmark]
        return cosines

    def _covered(self, points: Floats) -> Floats:
        """How far landmarks (P, 3) are hidden behind other parts of the face, such as the nose: (P,), 0..1."""
        drawn = draw_triangles(points, self._face, 256)
        pixels, depth = interpolated(drawn, points, points[:, 2:])
        seen = np.full((256, 256), 1e3, np.float32)
        seen.reshape(-1)[pixels] = depth[:, 0]
        covered = _between(points[:, 2] - _read(seen, points[None, :, :2])[0], BEHIND)
        for _ in range(SPREADING):
            covered = self._spreading @ covered
        return covered

    def _gains(self, portrait: Floats, points: Floats, shown: Floats) -> Floats:
        """What the light of mirror images is multiplied by at the vertices, so that it becomes their own: (V, 3).

        Its logarithm is linear across the face, 0 in the middle, and fitted to the pairs that the portrait shows, those
        less that are unlike for other reasons than light (reweighted least squares).
        """
        points, shown = points[: self._faces], shown[: self._faces]
        other = self._mirror[: self._faces]
        light = np.log(_read(cv2.GaussianBlur(portrait, (0, 0), LIGHT_BLUR), points[None])[0] / 2 + 0.54)
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

    def _pushed(self, points: Floats, rotation: Floats, turned: float) -> Tensor:
        """How far what is read in the portrait's hidden half is pushed out of it: (2, SKIN_SIDE, SKIN_SIDE) in pixels.

        Sideways as the head stands, from the middle of the face to its outline as the portrait shows it.
        """
        aside = rotation[:2, 0] / max(float(np.hypot(*rotation[:2, 0])), 1e-6) * np.sign(rotation[2, 0])
        rings = self._faces + len(RIM) * np.arange(2)[:, None] + np.flatnonzero(self._down[list(RIM)] > BENEATH)
        inner = points[np.concatenate([np.arange(self._faces), rings.ravel()]), :2]
        outline = cv2.convexHull(np.ascontiguousarray(inner))[:, 0]
        cells = (np.arange(SKIN_SIDE, dtype=np.float32) + 0.5) * np.float32(256 / SKIN_SIDE)
        at = np.stack(np.meshgrid(cells, cells), -1)
        along = np.roll(outline, -1, 0) - outline
        inwards = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1), 1e-6)[:, None]
        depth = ((at[:, :, None] - outline) * inwards).sum(-1)  # in each of the outline's half planes
        slope = -(inwards @ aside)  # by which a step aside leads out of it
        leaves = np.where(slope > 1e-3, depth / np.maximum(slope, 1e-3), np.inf).min(-1)
        inside = depth.min(-1)
        far = at @ aside - self._middle(points) @ aside
        reach = (leaves + CLEAR) * _between(inside, (0.0, CLEAR)) * _between(far, (0.0, CLEAR_OVER)) * turned
        return torch.from_numpy((reach[..., None] * aside).transpose(2, 0, 1).astype(np.float32)[None])

    @staticmethod
    def _middle(points: Floats) -> Floats:
        middle: Floats = points[[168, 6, 2, 0, 17, 152], :2].mean(0)
        return middle


def _page(portrait: Floats, mirrored: Floats, gain: Floats, head: Floats) -> Floats:
    colours = (_read(portrait, mirrored) + 1) * gain - 1
    return np.dstack([np.clip(colours, -1, 1), head])


def _skirt(rings: Numbers) -> Numbers:
    """Triangles (T, 3) between rings (R, n) of vertices, clockwise as the rings are, from the outermost inwards."""
    inner, outer = rings[:-1][::-1], rings[1:][::-1]
    after, beyond = np.roll(inner, -1, 1), np.roll(outer, -1, 1)
    strips = np.stack([np.stack([inner, outer, beyond], -1), np.stack([inner, beyond, after], -1)], 2)
    return strips.reshape(-1, 3)


def _pose(motion: Tensor) -> tuple[Floats, float]:
    return rotation_matrix(motion[ANGLES]).numpy(), float(motion[LOG_SCALE].exp())


def _read(picture: Floats, places: Floats) -> Floats:
    """A picture (H, W) or (H, W, C) of the 256 crop, read at places (h, w, 2) in the crop's pixels."""
    where = places * np.float32(picture.shape[1] / 256) - np.float32(0.5)
    read: Floats = cv2.remap(picture, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return read


def _between(value: Floats, limits: tuple[float, float]) -> Floats:
    """0 up to the lower limit, 1 from the upper one on, level at both."""
    low, high = limits
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
