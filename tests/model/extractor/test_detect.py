import cv2
import numpy as np
import pytest

from model.data.camera import texture
from model.extractor.detect import Face, FaceDetector, grid, suppress
from model.extractor.reader import FaceReader, Sighting
from model.extractor.window import Window


@pytest.fixture(scope="module")
def detector():
    return FaceDetector(FaceReader.load())


def overlap(face, box):
    """Intersection over union of a Face and a box (x, y, width, height)."""
    x, y, width, height = box
    shared_width = min(face.x + face.width, x + width) - max(face.x, x)
    shared_height = min(face.y + face.height, y + height) - max(face.y, y)
    shared = max(0, shared_width) * max(0, shared_height)
    return shared / (face.width * face.height + width * height - shared)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.35, 1.0, 2.5])
def test_the_face_of_a_portrait_is_found_at_any_size(detector, portrait, portrait_box, scale):
    size = (round(portrait.shape[1] * scale), round(portrait.shape[0] * scale))
    faces = detector.find(cv2.resize(portrait, size, interpolation=cv2.INTER_AREA))
    assert len(faces) == 1
    assert overlap(faces[0], np.array(portrait_box) * scale) > 0.6
    assert faces[0].confidence > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_tilted_face_is_found_and_its_tilt_read(detector, portrait, portrait_box, degrees):
    middle = (portrait_box[0] + portrait_box[2] / 2, portrait_box[1] + portrait_box[3] / 2)
    turn = cv2.getRotationMatrix2D(middle, -degrees, 1.0)  # OpenCV counts counter-clockwise
    tilted = cv2.warpAffine(portrait, turn, portrait.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    face, *_ = detector.find(tilted)
    upright, *_ = detector.find(portrait)
    assert np.degrees(face.angle - upright.angle) == pytest.approx(degrees, abs=10)


def test_a_tight_crop_is_found(detector, portrait, portrait_box):
    x, y, width, height = (int(v) for v in portrait_box)
    tight = portrait[
        max(0, y - height // 8) : y + height + height // 10, max(0, x - width // 10) : x + width + width // 10
    ]
    assert len(detector.find(np.ascontiguousarray(tight))) == 1


def test_a_small_face_in_a_large_scene_and_the_largest_first(detector, portrait, portrait_box):
    scene = np.full((900, 1300, 3), (90, 110, 80), np.uint8)
    scene += np.linspace(0, 60, 1300).astype(np.uint8)[None, :, None]
    for scale, (x, y) in ((0.4, (60, 500)), (0.9, (700, 100))):
        small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scene[y : y + small.shape[0], x : x + small.shape[1]] = small[: 900 - y]
    faces = detector.find(scene)
    assert len(faces) == 2
    assert faces[0].height > 1.8 * faces[1].height
    assert faces[0].x > 700
    assert faces[1].x < 400


def test_where_one_face_is_enough_a_large_one_needs_no_cascade(detector, portrait, portrait_box, monkeypatch):
    monkeypatch.setattr(detector, "_cascade_windows", lambda *_, **__: pytest.fail("asked the cascades"))
    face, *_ = detector.find(portrait, every=False)
    assert overlap(face, portrait_box) > 0.6
    assert len(detector.sightings(portrait, every=False)) == 1


@pytest.mark.slow
def test_where_one_face_is_enough_a_small_one_is_found_all_the_same(detector, portrait):
    scene = np.full((1100, 1600, 3), (90, 110, 80), np.uint8)
    small = cv2.resize(portrait, None, fx=0.34, fy=0.34, interpolation=cv2.INTER_AREA)  # a face of 70 pixels
    scene[850 : 850 + small.shape[0], 1300 : 1300 + small.shape[1]] = small
    face, *_ = detector.find(scene, every=False)
    assert face.x > 1300
    assert face.y > 850
    assert 50 < face.height < 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_textures_have_no_face(detector, seed):
    assert detector.find(texture(480, np.random.default_rng(seed))) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 900, 3), (40, 30, 3)])
def test_odd_formats_have_no_face(detector, shape):
    assert detector.find(np.full(shape, 128, np.uint8)) == []


def test_a_face_box_gives_the_window_to_look_through():
    face = Face(100, 200, 80, 100, 0.9)
    assert face.window == Window(140, 250, 140.0, 0.0)


@pytest.mark.parametrize(("width", "height"), [(256, 256), (1920, 1080), (300, 1500), (5, 5)])
def test_a_grid_covers_the_picture_with_few_windows(width, height):
    windows = grid(width, height, smallest=min(width, height) / 5)
    assert 0 < len(windows) < 1000
    sides = sorted({window.side for window in windows})
    for side in sides:  # a face anywhere, some way from the border, has a window within a quarter of its side
        middles = np.array([(w.x, w.y) for w in windows if w.side == side])
        for x in np.linspace(side / 2, width - side / 2, 7) if width > side else [width / 2]:
            for y in np.linspace(side / 2, height - side / 2, 7) if height > side else [height / 2]:
                assert np.abs(middles - (x, y)).max(axis=1).min() <= 0.25 * side


def test_of_overlapping_sightings_the_surest_stays():
    def sighting(x, presence):
        return Sighting(np.zeros((478, 3), np.float32), Window(x, 0, 100), presence, 1.0)

    kept = suppress([sighting(0, 0.7), sighting(10, 0.9), sighting(500, 0.6)])
    assert [(s.window.x, s.presence) for s in kept] == [(10, 0.9), (500, 0.6)]
