import numpy as np
import pytest

from model.face.topology import (
    EYES,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    OUTER_LIPS,
    POINTS,
    RIGHT_BROW,
    RIGHT_EYE,
    mirror_permutation,
)
from model.morphable import MorphableModel


@pytest.fixture(scope="module")
def permutation():
    return mirror_permutation(MorphableModel.load().mean.numpy())


def test_mirroring_twice_is_nothing(permutation):
    assert np.array_equal(permutation[permutation], np.arange(POINTS))


@pytest.mark.parametrize(
    ("first", "second"),
    [(RIGHT_EYE, LEFT_EYE), (RIGHT_BROW, LEFT_BROW), (OUTER_LIPS, OUTER_LIPS), (INNER_LIPS, INNER_LIPS)],
    ids=["eyes", "brows", "outer lips", "inner lips"],
)
def test_features_are_exchanged_with_their_counterparts(permutation, first, second):
    assert set(permutation[list(first)].tolist()) == set(second)


@pytest.mark.parametrize(
    ("point", "counterpart"), [(33, 263), (133, 362), (159, 386), (61, 291), (468, 473), (13, 13), (1, 1), (152, 152)]
)
def test_named_points(permutation, point, counterpart):
    assert permutation[point] == counterpart


def test_a_turned_and_shifted_shape_gives_the_same_pairs(permutation):
    angle = np.radians(8)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    moved = MorphableModel.load().mean.numpy() @ turn.T + (3.0, -2.0, 1.0)
    assert np.array_equal(mirror_permutation(moved), permutation)


def test_outlines_name_each_point_once():
    assert len(set(EYES)) == len(EYES) == 32
    assert len(set(OUTER_LIPS + INNER_LIPS)) == 40
