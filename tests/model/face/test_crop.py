import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.face.crop import Crop, crop_from_landmarks


def ellipse(centre, width, height, n=200):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([centre[0] + width / 2 * np.cos(angle), centre[1] + height / 2 * np.sin(angle), 0 * angle], axis=-1)


def test_crop_of_a_face_well_inside_the_frame():
    crop = crop_from_landmarks(ellipse((500, 400), 80, 100), (1000, 800))
    assert crop.side == pytest.approx(165, rel=1e-3)
    assert crop.x + crop.side / 2 == pytest.approx(500, abs=0.1)
    assert crop.y + crop.side / 2 == pytest.approx(400 - 8, abs=0.1)


def test_crop_is_shifted_into_the_frame():
    crop = crop_from_landmarks(ellipse((60, 745), 80, 100), (1000, 800))
    assert crop.x == 0
    assert crop.y + crop.side == pytest.approx(800)


def test_side_is_the_frame_where_that_suffices_and_larger_where_it_does_not():
    suffices = crop_from_landmarks(ellipse((100, 100), 110, 130), (200, 220))
    assert suffices.side == pytest.approx(200)
    assert suffices.x == pytest.approx(0)
    face_fills_frame = crop_from_landmarks(ellipse((100, 100), 170, 190), (200, 200))
    assert face_fills_frame.side == pytest.approx(190 * 1.35, rel=1e-3)
    assert face_fills_frame.x < 0
    assert face_fills_frame.x + face_fills_frame.side > 200


def test_all_frames_of_a_clip_lie_in_its_one_crop():
    frames = np.stack([ellipse((300 + 30 * t, 300), 80, 100) for t in range(6)])
    crop = crop_from_landmarks(frames, (1000, 800))
    inside = crop.points_to_crop(frames)[..., :2]
    assert inside.min() > 0
    assert inside.max() < 256


@given(st.floats(-50, 300), st.floats(-50, 300), st.floats(5, 900), st.integers(16, 300))
def test_points_make_the_round_trip(x, y, side, size):
    crop = Crop(x, y, side)
    points = np.random.default_rng(0).uniform(-20, 300, (7, 3)).astype(np.float32)
    assert np.allclose(crop.points_to_source(crop.points_to_crop(points, size), size), points, atol=1e-2)


@pytest.mark.parametrize("side", [40.0, 97.3, 256.0, 700.0])
def test_the_picture_is_where_the_points_say(side):
    """A soft blob drawn at a point of the source is found at that point's place in the crop."""
    x, y = np.meshgrid(np.arange(900) + 0.5, np.arange(800) + 0.5)
    crop = Crop(61.4, 33.7, side)
    point = crop.points_to_source(np.array([150.0, 100.0]))
    blob = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * (side / 20) ** 2))
    cut = crop.cut(np.repeat((255 * blob).astype(np.uint8)[..., None], 3, axis=2))[..., 0].astype(float)
    u, v = np.meshgrid(np.arange(256) + 0.5, np.arange(256) + 0.5)
    assert np.array([(u * cut).sum(), (v * cut).sum()]) / cut.sum() == pytest.approx([150, 100], abs=0.25)


def test_shrinking_averages_instead_of_picking_pixels():
    checkers = (np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    cut = Crop(0, 0, 1024).cut(checkers)
    assert cut.shape == (256, 256, 3)
    assert abs(cut.astype(int) - 127).max() <= 2


def test_outside_is_mirrored():
    picture = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    cut = Crop(-16, 0, 64).cut(picture, 64)
    assert np.array_equal(cut[:, :16], picture[:, :16][:, ::-1])
    assert np.array_equal(cut[:, 16:], picture[:, :48])


@pytest.mark.parametrize("side", [0.0, -1.0, float("nan")])
def test_a_crop_without_area_is_refused(side):
    with pytest.raises(ValueError, match="side > 0"):
        Crop(0, 0, side)


def filmed(portrait, count, *, pan=0.0, zoom=1.0):
    """Frames (H, W, 3) uint8 of the portrait, each `pan` pixels further right and `zoom` times as large, with noise.

    With each frame comes how the photo lies in it: (2, 3).
    """
    rng = np.random.default_rng(0)
    height, width = portrait.shape[:2]
    for t in range(count):
        scale = zoom**t
        where = np.array([[scale, 0, width / 2 * (1 - scale) + pan * t], [0, scale, height / 2 * (1 - scale)]])
        frame = cv2.warpAffine(portrait, where, (width, height), borderMode=cv2.BORDER_REFLECT)
        yield np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8), where


def face_heights(extractions):
    """Height of the landmarks' box in each frame, in pixels of the source."""
    points = np.stack([e.crop.points_to_source(e.landmarks) for e in extractions])
    return points[..., 1].max(axis=1) - points[..., 1].min(axis=1)


@pytest.mark.slow
def test_a_still_face_neither_shakes_nor_zooms(extractor, portrait):
    found = list(extractor.extract_video(frame for frame, _ in filmed(portrait, 30)))
    assert len({e.crop for e in found}) == 1
    sizes = np.array([e.motion[67] for e in found])  # log scale in the crop
    assert np.ptp(sizes) < 0.01
    assert np.ptp(face_heights(found)) < 0.01 * face_heights(found).mean()
    places = np.stack([e.motion[68:70] for e in found]) * found[0].crop.side / 2  # pixels of the source
    assert np.ptp(places, axis=0).max() < 0.01 * found[0].crop.side


@pytest.mark.slow
def test_a_camera_that_moves_and_zooms_is_seen_in_the_motion_and_not_in_the_crop(extractor, portrait):
    frames = list(filmed(portrait, 30, pan=1.5, zoom=1.004))
    found = list(extractor.extract_video(frame for frame, _ in frames))
    assert len({e.crop for e in found}) == 1
    crop = found[0].crop
    first = crop.points_to_source(found[0].landmarks)[:, :2]
    for extraction, (frame, where) in zip(found, frames, strict=True):
        inside = extraction.landmarks[:, :2]
        assert inside.min() > 0
        assert inside.max() < 256
        wanted = first @ where[:, :2].T + where[:, 2]  # the first frame's points, moved as the camera did
        got = crop.points_to_source(extraction.landmarks)[:, :2]
        assert np.linalg.norm(got - wanted, axis=1).mean() < 0.006 * crop.side
        assert np.array_equal(extraction.image, crop.cut(frame))
    grown = np.array([e.motion[67] for e in found])
    slope, _ = np.polyfit(np.arange(30), grown, 1)
    assert slope == pytest.approx(np.log(1.004), rel=0.15)
    assert np.abs(grown - np.poly1d(np.polyfit(np.arange(30), grown, 1))(np.arange(30))).max() < 0.015
