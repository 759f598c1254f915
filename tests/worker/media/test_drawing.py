"""What is drawn lies where the face is, and the axes point where it looks."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model.extractor import Extraction, Extractor
from model.morphable import MorphableModel
from tests.support.limits import IMAGE_LIMITS
from worker.media.drawing import AXES, AXIS_LENGTH, Drawing, axis_tips
from worker.media.images import read_image
from worker.models import Models

Image = np.ndarray


def pose(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    return np.radians([yaw, pitch, roll]).astype(np.float32)


@pytest.mark.parametrize(
    ("angles", "axis", "direction"),
    [
        ({"yaw": 30}, 2, (0.5, 0.0)),  # forward: the nose to the viewer's right
        ({"yaw": -30}, 2, (-0.5, 0.0)),
        ({"pitch": 30}, 2, (0.0, -0.5)),  # the nose up, and rows count downwards
        ({"roll": 30}, 1, (0.5, -(0.75**0.5))),  # the crown clockwise, to the viewer's right
        ({"roll": 30}, 0, (0.75**0.5, 0.5)),
        ({"yaw": 60}, 0, (0.5, 0.0)),  # foreshortened
        ({}, 2, (0.0, 0.0)),  # towards the viewer
    ],
)
def test_axes_point_where_the_head_does(angles: dict[str, float], axis: int, direction: tuple[float, float]) -> None:
    origin = np.array([100, 120], np.float32)
    tips = axis_tips(origin, pose(**angles), side=400)
    np.testing.assert_allclose(tips[axis], origin + AXIS_LENGTH * 400 * np.array(direction), atol=1e-3)


@pytest.fixture(scope="module")
def extractor(models: Models) -> Extractor:
    return models.extractor


@pytest.fixture(scope="module")
def photo(portrait: Path) -> Image:
    return read_image(portrait, IMAGE_LIMITS)


@pytest.fixture(scope="module")
def face(extractor: Extractor, photo: Image) -> Extraction:
    return extractor.extract(photo)


@pytest.fixture(scope="module")
def morphable(extractor: Extractor) -> MorphableModel:
    return extractor.morphable


def drawn_on_black(morphable: MorphableModel, face: Extraction, photo: Image) -> Image:
    height, width = photo.shape[:2]
    return Drawing(morphable, width, height).draw(np.zeros_like(photo), face)


def middle_of(picture: Image, colour: tuple[int, int, int]) -> np.ndarray:
    """Mean place (x, y) of the pixels of a colour."""
    rows, columns = np.nonzero((np.abs(picture.astype(int) - colour) < 40).all(axis=2))
    return np.array([columns.mean(), rows.mean()]) + 0.5


def test_the_mesh_lies_on_the_face_and_the_square_around_it(
    morphable: MorphableModel, face: Extraction, photo: Image
) -> None:
    drawn = drawn_on_black(morphable, face, photo)
    touched = np.asarray(drawn.any(axis=2))
    touched[int(0.92 * len(drawn)) :] = False  # the numbers
    rows, columns = np.nonzero(touched)
    left, top, right, bottom = (face.crop.x, face.crop.y, face.crop.x + face.crop.side, face.crop.y + face.crop.side)
    assert (columns.min(), rows.min()) == pytest.approx((left, top), abs=4)
    assert (columns.max(), rows.max()) == pytest.approx((right, bottom), abs=4)  # half a line's width
    points = face.crop.points_to_source(face.landmarks)[:, :2]
    hull = cv2.convexHull(np.ascontiguousarray(points))
    inside = np.array(
        [cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y in zip(columns, rows, strict=True)]
    )
    edge = np.minimum.reduce([columns - left, right - columns, rows - top, bottom - rows])
    axes = np.linalg.norm(np.stack([columns, rows], 1) - points[1], axis=1) < (AXIS_LENGTH + 0.02) * face.crop.side
    assert ((inside > -3) | (edge < 4) | axes).all()
    assert touched[hull[:, 0, 1].astype(int).min() + 2 : hull[:, 0, 1].astype(int).max() - 2].any(axis=1).all()


def test_it_is_drawn_in_the_size_asked_for(morphable: MorphableModel, face: Extraction, photo: Image) -> None:
    """Half the size has the same drawing at half the distances."""
    forward = AXES[2]
    turned = replace(face, motion=np.r_[face.motion[:64], pose(yaw=50), face.motion[67:]])
    whole = drawn_on_black(morphable, turned, photo)
    half = Drawing(morphable, photo.shape[1] // 2, photo.shape[0] // 2).draw(np.zeros_like(photo), turned)
    assert half.shape == (photo.shape[0] // 2, photo.shape[1] // 2, 3)
    np.testing.assert_allclose(middle_of(half, forward), middle_of(whole, forward) / 2, atol=1.5)
    nose = face.crop.points_to_source(face.landmarks)[1, :2]
    assert middle_of(whole, forward)[0] > nose[0] + 10


def test_what_is_uncertain_is_red(morphable: MorphableModel, face: Extraction, photo: Image) -> None:
    sure, unsure = (
        drawn_on_black(morphable, replace(face, confidence=confidence), photo)[..., :2].astype(int).reshape(-1, 2)
        for confidence in (1.0, 0.0)
    )
    assert (sure[:, 1] - sure[:, 0]).sum() > 0 > (unsure[:, 1] - unsure[:, 0]).sum()


def test_the_picture_given_is_left_as_it_was(morphable: MorphableModel, face: Extraction, photo: Image) -> None:
    before = photo.copy()
    drawn = Drawing(morphable, photo.shape[1], photo.shape[0]).draw(photo, face)
    assert np.array_equal(photo, before)
    assert not np.array_equal(drawn, before)


def test_the_head_of_another_motion_space_is_drawn_as_its_landmarks_say(
    morphable: MorphableModel, face: Extraction, photo: Image
) -> None:
    """Crop, landmarks and identity of a face turned by 30 degrees; the motion's numbers mean something else."""
    motion = torch.from_numpy(np.r_[face.motion[:64], pose(yaw=30), face.motion[67:]])[None]
    turned = morphable.landmarks(torch.from_numpy(face.identity)[None], motion)[0].numpy()
    other = replace(face, landmarks=turned, motion=np.full(73, 7, np.float32))
    tip = middle_of(drawn_on_black(morphable, other, photo), AXES[2])
    nose = face.crop.points_to_source(turned)[1, :2]
    assert tip - nose == pytest.approx([AXIS_LENGTH * face.crop.side * 0.5 / 2, 0], abs=4)
