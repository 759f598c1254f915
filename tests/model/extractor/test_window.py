import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.extractor.linear_face import face_pose, face_window, linear_face
from model.extractor.window import Pyramid, Window
from model.face.topology import mirror_permutation
from model.morphable import MorphableModel

windows = st.builds(
    Window, st.floats(-100, 900), st.floats(-100, 900), st.floats(10, 800), st.floats(-math.pi, math.pi)
)


@given(windows)
def test_points_make_the_round_trip(window):
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (9, 3))
    assert np.allclose(window.points_to_window(window.points_to_source(points)), points, atol=1e-3)


def test_a_positive_angle_turns_clockwise_as_seen():
    right, _ = Window(0, 0, 2, math.radians(90)).points_to_source(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert right == pytest.approx([0, 1], abs=1e-6)  # y points down


@given(windows, windows)
def test_overlap_is_symmetric_and_whole_with_itself(first, second):
    assert first.overlap(second) == pytest.approx(second.overlap(first), abs=1e-9)
    assert first.overlap(first) == pytest.approx(1)
    assert 0 <= first.overlap(second) <= 1 + 1e-9


def test_composing_with_the_pose_seen_gives_the_faces_own_window():
    reference = np.random.default_rng(1).normal(size=(478, 3))
    reference[:, :2] -= reference[:, :2].mean(axis=0)
    face = Window(300, 220, 90, 0.4)
    rough = Window(270, 250, 160, -0.1)
    seen = rough.points_to_window(face.points_to_source(reference))
    found = rough.compose(face_pose(seen, reference))
    assert (found.x, found.y, found.side, found.angle) == pytest.approx(
        (face.x, face.y, face.side, face.angle), rel=1e-4
    )
    assert face_window(face.points_to_source(reference), reference).side == pytest.approx(90, rel=1e-4)


@pytest.mark.parametrize("window", [Window(400, 300, 64, 0.5), Window(420, 310, 300, -0.3), Window(450, 380, 700, 1.0)])
def test_the_picture_is_where_the_points_say(window):
    x, y = np.meshgrid(np.arange(1001) + 0.5, np.arange(803) + 0.5)
    point = window.points_to_source(np.array([0.3, -0.2]))
    blob = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * (window.side / 16) ** 2))
    cut = Pyramid(np.repeat((255 * blob).astype(np.uint8)[..., None], 3, axis=2)).cut(window, 128)[..., 0].astype(float)
    cut[cut < 8] = 0
    u, v = np.meshgrid(np.arange(128) + 0.5, np.arange(128) + 0.5)
    found = np.array([(u * cut).sum(), (v * cut).sum()]) / cut.sum() / 64 - 1
    assert found == pytest.approx([0.3, -0.2], abs=0.02)


def test_a_large_window_is_averaged_instead_of_picked():
    checkers = (np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    cut = Pyramid(checkers).cut(Window(512, 512, 1000, 0.3), 128)
    assert abs(cut.astype(int) - 127).max() <= 3


def test_linear_face_rebuilds_faces_from_few_components():
    rng = np.random.default_rng(2)
    mean = rng.normal(size=(478, 3)) * (30, 40, 20)
    directions = rng.normal(size=(3, 478, 3))
    faces = mean + np.einsum("nk,kpc->npc", rng.normal(size=(60, 3)), directions)
    reference, basis = linear_face(faces, None, 4)
    assert np.ptp(reference[:, 1]) == pytest.approx(2 / 1.4, rel=1e-3)
    local = np.stack([face_window(face, reference).points_to_window(face) for face in faces])
    residual = (local - reference).reshape(60, -1)
    coefficients = np.linalg.lstsq(basis.T, residual.T, rcond=None)[0]
    assert np.abs(residual - coefficients.T @ basis).mean() < 0.02 * np.abs(residual).mean()


def test_with_mirror_images_the_mean_face_is_upright_and_symmetric():
    """Even when the first faces are tilted and turned to one side."""
    model = MorphableModel.load()
    torch.manual_seed(0)
    motion = torch.zeros(40, 70)
    motion[:, 64:67] = 0.15 * torch.randn(40, 3) + torch.tensor([0.2, 0.0, 0.3])
    faces = model.landmarks(torch.randn(40, 80), motion).numpy()
    permutation = mirror_permutation(model.mean.numpy())
    reference, _ = linear_face(faces, permutation, 4)
    assert np.allclose(reference[permutation] * (-1, 1, 1), reference, atol=1e-5)
    assert reference[10, :2] == pytest.approx([0, -0.7], abs=0.15)  # the top of the forehead is above, the chin below
    assert reference[152, :2] == pytest.approx([0, 0.7], abs=0.15)
    turned = face_window(faces[0], reference).angle
    assert turned == pytest.approx(float(motion[0, 66]), abs=0.1)


def test_a_window_within_another_is_contained_whole():
    inner, outer = Window(110, 100, 20), Window(100, 100, 80)
    assert inner.contained(outer) == outer.contained(inner) == pytest.approx(1)
    assert inner.overlap(outer) == pytest.approx(1 / 16)
    assert Window(300, 100, 20).contained(outer) == 0
