import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import NoFaceError
from model.extractor.deep3d.alignment import FIVE_OF_68, Alignment, five_points
from tests.support.deep3d import FACE, landmarks_68

# A face whose numbers can be worked with by hand: symmetric, the nose one unit before the rest.
SIMPLE = np.array([[-1, 1, 0], [1, 1, 0], [0, 0, 1], [-1, -1, 0], [1, -1, 0]], np.float64)


def seen(face: np.ndarray, rotation: np.ndarray, scale: float, origin: tuple[float, float], height: int) -> np.ndarray:
    """A face (5, 3) under weak perspective: points (5, 2) in pixels, y downwards; `origin` is counted upwards."""
    upwards = scale * (face @ rotation.T)[:, :2] + origin
    return np.stack([upwards[:, 0], height - 1 - upwards[:, 1]], axis=1)


def turned(angles: tuple[float, float, float]) -> np.ndarray:
    return cv2.Rodrigues(np.array(angles))[0]


def test_numbers_worked_out_by_hand():
    # Eyes at x 80 and 120, y 60; mouth at y 100; nose at (100, 80): 20 pixels a unit, the origin at (100, 80).
    points = np.array([[80, 60], [120, 60], [100, 80], [80, 100], [120, 100]], np.float64)
    alignment = Alignment.of(points, SIMPLE, 256, 201)
    np.testing.assert_allclose(alignment.numbers, [256, 201, 102 / 20, 100, 201 - 1 - 80], atol=1e-9)
    assert alignment.scaled_size == (1305, 1025)  # 256 and 201 times 5.1, less what is behind the point
    # middle of the scaled picture (652.5, 512.5) + (100 - 128, 100.5 - 120) * 5.1 = (509.7, 413.05); less 112, cut off
    assert alignment.corner == (397, 301)


def test_a_camera_that_no_rotation_gives_is_measured_by_its_mean_row():
    # x 30 pixels a unit, y 10: no view of the face, but least squares fits it without rest
    points = np.stack([30 * SIMPLE[:, 0] + 128, 127 - 10 * SIMPLE[:, 1]], axis=1)
    alignment = Alignment.of(points, SIMPLE, 256, 256)
    np.testing.assert_allclose(alignment.numbers[2:], [102 / 20, 128, 128], atol=1e-9)


def test_an_error_of_one_point_is_spread_as_least_squares_has_it():
    # The nose alone knows the third column of the camera, so that what it is off by goes there: 4 pixels a unit in x.
    points = np.array([[80, 60], [120, 60], [104, 80], [80, 100], [120, 100]], np.float64)
    alignment = Alignment.of(points, SIMPLE, 256, 256)
    assert alignment.scale == pytest.approx(102 / ((np.hypot(20, 4) + 20) / 2))
    # A mouth corner is not alone: with eyes, nose and mouth at hand the origin moves by a quarter of its error.
    points = np.array([[80, 60], [120, 60], [100, 80], [80, 100], [128, 100]], np.float64)
    assert Alignment.of(points, SIMPLE, 256, 256).x == pytest.approx(100 + 8 / 4)


@settings(deadline=None)
@given(
    st.tuples(*[st.floats(-1.2, 1.2)] * 3),
    st.floats(8, 400),
    st.tuples(st.floats(-50, 300), st.floats(-50, 300)),
)
def test_known_similarities_are_recovered_exactly(angles, scale, origin):
    alignment = Alignment.of(seen(FACE, turned(angles), scale, origin, 240), FACE, 256, 240)
    assert alignment.scale == pytest.approx(102 / scale, rel=1e-9)
    assert (alignment.x, alignment.y) == pytest.approx(origin, abs=1e-6)


@given(st.floats(0.3, 3), st.floats(0, 255), st.floats(0, 255), st.floats(-100, 400), st.floats(-100, 400))
def test_points_go_to_the_window_and_back(scale, x, y, u, v):
    alignment = Alignment(256, 256, scale, x, y)
    there = alignment.points_to_window(np.array([u, v]))
    np.testing.assert_allclose(alignment.points_to_source(there), [u, v], atol=1e-6)


def test_the_face_stands_in_the_window_at_its_size_whatever_its_size_in_the_source():
    for scale, origin in ((40.0, (100.0, 150.0)), (90.0, (128.0, 120.0)), (150.0, (140.0, 90.0))):
        points = seen(FACE, np.eye(3), scale, origin, 256)
        found = Alignment.of(points, FACE, 256, 256).points_to_window(points)
        wanted = np.stack([112 + 102 * FACE[:, 0], 112 - 102 * FACE[:, 1]], axis=1)
        # Theirs counts rows up from the last one's middle, which sets the window up to one source pixel (and one of its
        # own for each rounding) off.
        assert np.abs(found - wanted).max() < 2 + 102 / scale


def test_the_cut_shows_the_points_where_they_are_said_to_be():
    points = np.array([[100, 110], [150, 108], [126, 140], [105, 170], [148, 168]])  # middles of pixels
    image = np.zeros((256, 256, 3), np.uint8)
    for x, y in points:
        cv2.circle(image, (x, y), 4, (255, 255, 255), -1)
    alignment = Alignment.of(points, FACE, 256, 256)
    window = alignment.cut(image)
    assert window.shape == (224, 224, 3)
    count, _, _, centres = cv2.connectedComponentsWithStats((window[..., 0] > 127).astype(np.uint8))
    assert count == 6
    found = centres[1:] + 0.5  # from edges of pixels, as below
    for wanted in alignment.points_to_window(points + 0.5):
        assert np.abs(found - wanted).sum(axis=1).min() < 0.5


def test_what_lies_outside_the_source_is_black():
    alignment = Alignment(64, 64, 1.0, 32.0, 32.0)
    window = alignment.cut(np.full((64, 64, 3), 200, np.uint8))
    inside = window[..., 0] > 0
    assert inside.sum() == 64 * 64
    assert inside[80:144, 80:144].all()
    with pytest.raises(ValueError, match=r"shape \(32, 64, 3\); this alignment is of \(64, 64, 3\)"):
        alignment.cut(np.zeros((32, 64, 3), np.uint8))


def test_points_that_tell_no_size_are_refused():
    for points in (np.full((5, 2), 80.0), np.full((5, 2), np.nan), FACE[:, :2] * 1.0):
        with pytest.raises(NoFaceError, match=r"pixels per unit; allowed are more than 6.38"):
            Alignment.of(points, FACE, 256, 256)


def test_five_points_are_middles_of_eyes_nose_and_mouth():
    np.testing.assert_allclose(five_points(landmarks_68(), FIVE_OF_68), FACE, atol=1e-12)
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[[33, 133]] = [[10, 20, 1], [14, 22, 3]]
    landmarks[[362, 263]] = [[30, 20, 0], [36, 18, 0]]
    landmarks[[4, 61, 291], :2] = [[22, 30], [15, 40], [29, 41]]
    assert five_points(landmarks)[:, :2].tolist() == [[12, 21], [33, 19], [22, 30], [15, 40], [29, 41]]
