import numpy as np
import pytest

from model.extractor.deep3d.coefficients import CROP_SCALE, DIMENSION, at_the_portraits_scale, driven, motion_of


def test_a_motion_is_73_numbers_of_a_row_in_the_authors_order():
    rows = np.arange(2 * 262).reshape(2, 262).astype(np.float64)
    motions = motion_of(rows)
    assert motions.shape == (2, DIMENSION)
    assert motions.dtype == np.float32
    wanted = [*range(80, 144), *range(224, 227), *range(254, 257), 259, 260, 261]
    assert motions[0].tolist() == wanted
    assert motions[1].tolist() == [262 + number for number in wanted]


def driver(*frames: tuple[float, float, float]) -> np.ndarray:
    """Motions of (every expression coefficient, every angle, crop scale)."""
    motions = np.zeros((len(frames), DIMENSION), np.float32)
    for motion, (expression, angle, scale) in zip(motions, frames, strict=True):
        motion[:64], motion[64:67], motion[70] = expression, angle, scale
        motion[67:70], motion[71:] = 0.1, 128
    return motions


def test_crop_scales_are_multiplied_by_the_ratio_at_the_frame_nearest_in_expression_and_angles():
    own = driver((0.0, 0.0, 1.0))[0]
    # unlike by 0.3 * 1 + 0.7 * 0, by 0.3 * 0 + 0.7 * 0.4 and by 0.3 * 0.5 + 0.7 * 0.3: the second is nearest
    video = driver((1.0, 0.0, 0.5), (0.0, 0.4, 0.8), (0.5, 0.3, 0.9))
    scaled = at_the_portraits_scale(video, own)
    assert scaled[:, CROP_SCALE] == pytest.approx([0.5 / 0.8, 1.0, 0.9 / 0.8])
    rest = np.arange(DIMENSION) != CROP_SCALE
    assert np.array_equal(scaled[:, rest], video[:, rest])
    assert video[1, CROP_SCALE] == np.float32(0.8)  # what was given is as it was
    # by equal weights the third would be (0.4 against 0.2 + 0.2); by the angles alone the first
    nearer_angle = driver((1.0, 0.0, 0.5), (0.0, 0.45, 0.8))
    assert at_the_portraits_scale(nearer_angle, own)[0, CROP_SCALE] == pytest.approx(1.0)


def test_ones_own_motion_stays_as_it_is():
    video = driver((0.3, 0.1, 0.7), (0.2, -0.2, 0.75))
    assert np.array_equal(at_the_portraits_scale(video, video[1]), video)


def test_a_drivers_numbers_are_taken_as_they_are_but_for_the_crops_scale():
    own, video = driver((0.5, 0.1, 1.2))[0], driver((0.0, 0.2, 0.8), (1.0, -0.1, 0.9))
    taken = driven(video, own, np.zeros_like(video), relative=False, expression_scale=1, pose_scale=1)
    assert np.array_equal(taken, at_the_portraits_scale(video, own))
    scaled = driven(video, own, np.zeros_like(video), relative=False, expression_scale=0.5, pose_scale=2)
    assert scaled[:, 0] == pytest.approx([0.0, 0.5])
    assert scaled[:, 65] == pytest.approx([0.4, -0.2])
    assert np.array_equal(scaled[:, 67:], taken[:, 67:])


def test_a_relative_driver_starts_where_the_portrait_is_and_moves_in_its_size():
    own, video = driver((0.5, 0.1, 1.2))[0], driver((0.2, 0.3, 0.8), (0.6, 0.1, 0.9))
    own[67:70], own[71:] = 0.02, (100, 140)
    video[1, 67:70], video[1, 71:] = 0.15, (134, 122)
    neutral = np.repeat(video[:1], 2, axis=0)
    on_top = driven(video, own, neutral, relative=True, expression_scale=1, pose_scale=1)
    assert on_top[0] == pytest.approx(own)
    assert on_top[1, 0] == pytest.approx(0.5 + 0.4)
    assert on_top[1, 64] == pytest.approx(0.1 - 0.2)
    assert on_top[1, 67] == pytest.approx(0.02 + 0.05)
    assert on_top[1, 70] == pytest.approx(1.2 * 0.9 / 0.8)  # the face shrinks by as much
    # 6 pixels to the right and down of a face that was 1.5 times as large in its crop
    assert on_top[1, 71:] == pytest.approx([100 + 4, 140 - 4])
    less = driven(video, own, neutral, relative=True, expression_scale=0.5, pose_scale=0)
    assert less[1, 0] == pytest.approx(0.5 + 0.2)
    assert less[1, 64:] == pytest.approx(own[64:])
