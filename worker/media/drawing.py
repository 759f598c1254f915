"""What was read in a picture of a face, drawn on that picture, for people who want to see whether it is right."""

import cv2
import numpy as np
import torch

from model.arrays import Floats, Pixels
from model.extractor import Extraction
from model.face.topology import INNER_LIPS, LEFT_BROW, LEFT_EYE, OUTER_LIPS, RIGHT_BROW, RIGHT_EYE
from model.morphable.basis import ANGLES, MOTION, MorphableModel
from model.morphable.mesh import edges_and_area, face_mesh
from model.morphable.pose import rotation_matrix

Colour = tuple[int, int, int]

OUTLINES = (OUTER_LIPS, INNER_LIPS, RIGHT_EYE, LEFT_EYE)
BROWS = (RIGHT_BROW[:5], LEFT_BROW[:5])  # their upper edges
IRISES = ((468, slice(469, 473)), (473, slice(474, 478)))  # centre and rim
NOSE_TIP = 1
MESH_SHARE = 0.45  # how much the mesh covers of what lies under it
SURE, UNSURE = (110, 240, 150), (250, 70, 50)  # colours of the mesh at a confidence of 1 and of 0
OUTLINE, SQUARE, TEXT = (255, 255, 255), (255, 210, 60), (255, 255, 255)
AXES = ((255, 70, 70), (70, 225, 90), (80, 140, 255))  # to the viewer's right, up, and out of the face
AXIS_LENGTH = 0.28  # of the crop's side
SUBPIXEL_BITS = 4


class Drawing:
    """Draws the mesh over the landmarks, the crop's square, the head's axes and the numbers, at `width` x `height`."""

    def __init__(self, morphable: MorphableModel, width: int, height: int) -> None:
        """`morphable` is what faces were read with."""
        mesh = face_mesh(morphable)
        openings = [np.isin(mesh, ring).all(axis=1) for ring in (INNER_LIPS, RIGHT_EYE, LEFT_EYE)]
        irises = np.isin(mesh, [centre for centre, _ in IRISES]).any(axis=1)
        self._morphable = morphable
        self._mesh = mesh[~(np.any(openings, axis=0) | irises)]
        self.width = width
        self.height = height

    def draw(self, picture: Pixels, face: Extraction | None) -> Pixels:
        """`picture`, uint8 (H, W, 3), in this drawing's size, with what `face`, if any, says of it on top."""
        drawn = picture.copy()
        if picture.shape[:2] != (self.height, self.width):
            drawn = cv2.resize(picture, (self.width, self.height), interpolation=cv2.INTER_AREA)
        if face is None:
            return drawn
        scale = np.array([self.width / picture.shape[1], self.height / picture.shape[0]], np.float32)
        points = face.crop.points_to_source(face.landmarks[:, :2]) * scale
        side = face.crop.side * float(scale[0])
        width = max(1, round(side / 250))
        drawn = self._with_mesh(drawn, points, face.confidence, width)
        _draw_outlines(drawn, points, width)
        corner = np.array([face.crop.x, face.crop.y], np.float32) * scale
        square = corner + np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * face.crop.side * scale
        _draw_lines(drawn, [square], SQUARE, 2 * width, closed=True)
        angles = self._angles(face)
        for tip, colour in zip(axis_tips(points[NOSE_TIP], angles, side), AXES, strict=True):
            _draw_lines(drawn, [np.stack([points[NOSE_TIP], tip])], colour, 3 * width)
        _write_numbers(drawn, angles, face.confidence)
        return drawn

    def _angles(self, face: Extraction) -> Floats:
        """Yaw, pitch and roll (3,) in radians; fitted to the landmarks where the motion is of another space."""
        if len(face.motion) == MOTION:
            return np.asarray(face.motion[ANGLES], np.float32)
        fit = self._morphable.fit(torch.from_numpy(face.landmarks)[None], torch.from_numpy(face.identity)[None])
        return np.asarray(fit.motion[0, ANGLES].numpy(), np.float32)

    def _with_mesh(self, picture: Pixels, points: Floats, confidence: float, width: int) -> Pixels:
        """The triangles that face the viewer, translucent."""
        _, _, area = edges_and_area(points[self._mesh])
        facing = self._mesh[area > 0]
        edges = np.unique(np.sort(facing[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
        share = min(max(confidence, 0.0), 1.0)
        red, green, blue = (
            round(share * sure + (1 - share) * unsure) for sure, unsure in zip(SURE, UNSURE, strict=True)
        )
        layer = picture.copy()
        _draw_lines(layer, list(points[edges]), (red, green, blue), width)
        blended: Pixels = cv2.addWeighted(layer, MESH_SHARE, picture, 1 - MESH_SHARE, 0)
        return blended


def axis_tips(origin: Floats, angles: Floats, side: float) -> Floats:
    """Ends (3, 2) of the head's axes drawn from `origin` (2,): its right as the viewer sees it, up, and forward.

    angles: yaw, pitch and roll (3,) in radians; side: the crop's, in pixels of the picture.
    """
    rotation = rotation_matrix(torch.from_numpy(angles)).numpy()
    directions = rotation[:2] * np.array([1, -1, -1], np.float32)  # the model's axes point right, down and backwards
    return np.asarray(origin + AXIS_LENGTH * side * directions.T, np.float32)


def _draw_outlines(picture: Pixels, points: Floats, width: int) -> None:
    _draw_lines(picture, [points[list(ring)] for ring in OUTLINES], OUTLINE, width, closed=True)
    _draw_lines(picture, [points[list(brow)] for brow in BROWS], OUTLINE, width)
    for centre, rim in IRISES:
        radius = float(np.linalg.norm(points[rim] - points[centre], axis=1).mean())
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        circle = points[centre] + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)
        _draw_lines(picture, [circle], OUTLINE, width, closed=True)


def _write_numbers(picture: Pixels, angles: Floats, confidence: float) -> None:
    """The pose in degrees and the confidence along the lower edge."""
    yaw, pitch, roll = np.degrees(angles)
    text = f"yaw {yaw:+.0f}  pitch {pitch:+.0f}  roll {roll:+.0f}  confidence {confidence:.2f}"
    height, width = picture.shape[:2]
    (natural, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    size = min(0.9 * width / natural, max(0.4, min(height, width) / 800))  # capitals are 22 pixels high at a size of 1
    place = round(0.02 * width), height - round(0.02 * width)
    for colour, stroke in (((0, 0, 0), 6 * size), (TEXT, 2 * size)):
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, max(1, round(stroke)), cv2.LINE_AA)


def _draw_lines(picture: Pixels, lines: list[Floats], colour: Colour, width: int, *, closed: bool = False) -> None:
    """Lines through points (N, 2) each. A pixel's centre lies half a pixel in; OpenCV counts from the centres."""
    fixed = [np.rint((line - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32) for line in lines]
    cv2.polylines(picture, fixed, closed, colour, width, cv2.LINE_AA, SUBPIXEL_BITS)
