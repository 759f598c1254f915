"""Scenes for judging face finding: faces pasted into larger pictures, and pictures without one."""

from dataclasses import dataclass

import cv2
import numpy as np

from model.arrays import Array, Pixels
from model.data.camera import texture
from model.evaluation.extractor.portraits import LabelledPortrait
from model.extractor.linear_face import face_window
from model.extractor.window import Window, warp

SHORTEST, LONGEST = 320, 1000  # sides of the scenes in pixels
LARGEST_SHARE = 0.95  # of a scene's side that a face may take

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture (H, W, 3) uint8 and the windows of the faces in it."""

    picture: Pixels
    faces: tuple[Window, ...] = ()


def scene_with_face(
    portrait: LabelledPortrait,
    backdrop: Array,
    reference: Array,
    rng: np.random.Generator,
    *,
    height: Range,
    tilt: Range,
) -> Scene:
    """A portrait pasted anywhere into a scene; the face lies whole in it, the portrait's border may not.

    Args:
        portrait: whose face it is.
        backdrop: a portrait (S, S, 3) whose corners give the background.
        reference: mean face (478, 3) of the extractor.
        rng: draws all that is random.
        height: range in pixels of the height of the landmarks' box, less where the scene is too small for it.
        tilt: range in degrees of the face's turn in the picture, to either side.
    """
    width, length = (int(side) for side in rng.integers(SHORTEST, LONGEST, 2))
    scene = _background(backdrop, width, length, rng)
    return Scene(scene, (_paste(scene, portrait, reference, rng, height=height, tilt=tilt),))


def scene_with_faces(
    portraits: list[LabelledPortrait], backdrop: Array, reference: Array, rng: np.random.Generator
) -> Scene:
    """Portraits side by side, upright, each in a column of its own and each smaller than the one before it."""
    side = LONGEST // len(portraits)
    scene = _background(backdrop, side * len(portraits), 700, rng)
    columns = rng.permutation(len(portraits))
    faces = []
    for number, (portrait, column) in enumerate(zip(portraits, columns, strict=True)):
        tall = 0.75 * side * 0.75**number
        part = scene[:, column * side : (column + 1) * side]
        face = _paste(part, portrait, reference, rng, height=(tall, tall), tilt=(0, 10))
        faces.append(Window(face.x + column * side, face.y, face.side, face.angle))
    return Scene(scene, tuple(faces))


def scene_without_face(backdrop: Array, rng: np.random.Generator) -> Scene:
    """A corner of a portrait enlarged, or a texture, of a random format."""
    height, width = (int(side) for side in rng.integers(SHORTEST, LONGEST, 2))
    return Scene(_background(backdrop, width, height, rng))


def scene_with_covered_face(portrait: LabelledPortrait, backdrop: Array, rng: np.random.Generator) -> Scene:
    """A portrait enlarged whose face is filled with background: hair, ears and shoulders are left."""
    extent = portrait.picture.shape[0]
    outline = cv2.convexHull(portrait.landmarks[:, :2].round().astype(np.int32))
    mask = cv2.dilate(cv2.fillConvexPoly(np.zeros((extent, extent), np.uint8), outline, 255), np.ones((9, 9), np.uint8))
    share = cv2.GaussianBlur(mask, (0, 0), 2.0)[..., None] / 255.0
    covered = portrait.picture * (1 - share) + _background(backdrop, extent, extent, rng) * share
    side = int(rng.integers(SHORTEST, LONGEST))
    return Scene(cv2.resize(covered.astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC))


def _paste(
    scene: Array,
    portrait: LabelledPortrait,
    reference: Array,
    rng: np.random.Generator,
    *,
    height: Range,
    tilt: Range,
) -> Window:
    """Paste into `scene` (H, W, 3), which is changed, and say where the face is."""
    landmarks, extent = portrait.landmarks, np.array(scene.shape[1::-1])
    own = face_window(landmarks, reference).angle
    angle = np.radians(rng.uniform(*tilt)) * rng.choice([-1.0, 1.0]) - own
    rotation = _turn(angle)
    box = np.ptp(landmarks[:, :2] @ rotation.T, axis=0)
    most = float((LARGEST_SHARE * extent / box).min())
    tall = float(np.ptp((landmarks[:, :2] @ _turn(-own).T)[:, 1]))
    scale = min(most, float(np.exp(rng.uniform(*np.log(height)))) / tall)
    turned = landmarks[:, :2] @ (scale * rotation).T
    low, high = turned.min(axis=0), turned.max(axis=0)
    shift = rng.uniform(-low, extent - high)
    matrix = np.hstack([scale * rotation, shift[:, None]])
    # shrink first, so that the warp does not alias
    level = max(0, int(np.floor(np.log2(1 / scale)))) if scale < 1 else 0
    side = portrait.picture.shape[0] >> level
    small = cv2.resize(portrait.picture, (side, side), interpolation=cv2.INTER_AREA)
    matrix[:, :2] *= 1 << level
    matrix[:, 2] -= 0.5 - 0.5 * matrix[:, :2].sum(axis=1)
    size = (int(extent[0]), int(extent[1]))
    pasted = cv2.warpAffine(small, matrix, size, flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(np.full(small.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_LINEAR)
    np.copyto(scene, pasted, where=cover[..., None] > 127)
    return face_window(np.concatenate([turned + shift, landmarks[:, 2:] * scale], axis=1), reference)


def _turn(angle: float) -> Array:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _background(backdrop: Array, width: int, height: int, rng: np.random.Generator) -> Array:
    size = max(width, height)
    if rng.random() < 0.3:
        return texture(size, rng)[:height, :width].copy()
    extent = backdrop.shape[0]
    x, y = (float(place) for place in rng.choice([0.1, 0.9], 2))
    corner = Window(x * extent, y * extent, extent * rng.uniform(0.15, 0.2), rng.uniform(-0.3, 0.3))
    return warp(backdrop, corner.to_source(size), size, border=cv2.BORDER_REFLECT)[:height, :width].copy()
