from itertools import pairwise

import numpy as np
import pytest

from model.extractor.reader import FaceReader
from model.extractor.window import Pyramid, Window
from model.face.topology import mirror_permutation


@pytest.fixture(scope="module")
def reader():
    return FaceReader.load()


@pytest.fixture(scope="module")
def rough(portrait_box):
    x, y, width, height = portrait_box
    return Window(x + 0.6 * width, y + 0.4 * height, 1.6 * height, 0.15)


def test_the_reference_face_says_which_points_mirror_each_other(reader):
    assert np.array_equal(reader.permutation[reader.permutation], np.arange(478))
    assert np.array_equal(reader.permutation, mirror_permutation(reader.network.reference.numpy()))


def test_a_mirrored_look_is_a_look_at_the_mirrored_picture(reader, portrait, rough):
    width = portrait.shape[1]
    seen = reader.look([Pyramid(portrait)], [rough], mirrored=True)[0]
    flipped = Window(width - rough.x, rough.y, rough.side, -rough.angle)
    other = reader.look([Pyramid(np.ascontiguousarray(portrait[:, ::-1]))], [flipped])[0]
    expected = other.landmarks[reader.permutation] * (-1, 1, 1) + (width, 0, 0)
    assert np.abs(seen.landmarks - expected).max() < 1.5  # resampling from the other side
    assert seen.window.angle == pytest.approx(-other.window.angle, abs=0.02)


def test_looking_again_settles(reader, portrait, rough):
    picture = Pyramid(portrait)
    looks = [reader.refine([picture], [rough], looks=n)[0].landmarks for n in (1, 2, 3, 4, 5)]
    moves = [np.abs(second - first).mean() for first, second in pairwise(looks)]
    assert moves[-1] < 1.5
    assert moves[-1] < moves[0]


def test_batches_of_windows_see_what_single_windows_see(reader, portrait, rough):
    picture = Pyramid(portrait)
    windows = [rough.compose(np.array([0.01 * i, 0, 0, 0])) for i in range(70)]
    together = reader.look([picture] * 70, windows)
    alone = reader.look([picture], [windows[69]])[0]
    assert np.allclose(together[69].landmarks, alone.landmarks, atol=0.05)


def test_steady_looks_depend_less_on_where_one_starts(reader, portrait, rough):
    picture = Pyramid(portrait)
    face = reader.refine([picture], [rough])[0].window
    starts = [face.compose(np.array(pose)) for pose in np.random.default_rng(0).normal(0, 0.05, (12, 4))]
    single = np.stack([sighting.landmarks for sighting in reader.look([picture] * 12, starts)])
    steady = np.stack([reader.steady(picture, start).landmarks for start in starts])
    assert steady.std(axis=0).mean() < 0.9 * single.std(axis=0).mean()
