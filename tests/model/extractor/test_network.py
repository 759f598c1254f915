import math

import numpy as np
import pytest
import torch

from model.extractor.network import FaceNetwork, NetworkConfig, Prediction
from model.extractor.window import Window
from model.training.extractor.loss import HALF_WINDOW_PX, extractor_losses, point_weights, upright

SMALL = NetworkConfig(input_size=32, channels=(4, 8, 8), blocks=(0, 1, 1), hidden=16, components=3)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = FaceNetwork(SMALL).eval()
    network.set_linear_face(torch.randn(478, 3), 0.1 * torch.randn(3, 478 * 3))
    return network


def test_shapes_and_ranges(network):
    prediction = network(torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8))
    assert [tuple(part.shape) for part in prediction] == [(5, 478, 3)] * 3 + [(5, 4), (5,), (5,)]
    assert all(torch.isfinite(part).all() for part in prediction)


def test_landmarks_are_the_linear_face_moved_by_the_pose(network):
    torch.nn.init.normal_(network.output.weight, std=0.2)
    prediction = network(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    assert torch.allclose(upright(prediction.landmarks, prediction.pose), prediction.face, atol=1e-3)
    for i in range(4):
        window = Window(0, 0, 2).compose(prediction.pose[i].detach().numpy())
        moved = window.points_to_source(prediction.face[i].detach().numpy())
        assert np.allclose(moved, prediction.landmarks[i].detach().numpy(), atol=1e-3)


def test_the_released_size_is_small():
    count = sum(value.numel() for value in FaceNetwork().state_dict().values())
    assert 2 * count < 10e6


def perfect(landmarks, pose):
    count = len(landmarks)
    sure, precise = torch.full((count,), 20.0), torch.full((count,), math.log(0.1))
    face = upright(landmarks, pose)
    return Prediction(landmarks, face, face.clone(), pose, sure, precise)


POSE = torch.tensor([[0.1, -0.2, 0.0, 0.5], [0.0, 0.3, math.log(2.0), -0.4]])


def test_perfect_landmarks_cost_nothing_and_errors_are_in_crop_pixels():
    landmarks = torch.randn(2, 478, 3)
    right = perfect(landmarks, POSE)
    assert float(extractor_losses(right, landmarks, POSE, torch.ones(2)).total) == pytest.approx(0, abs=1e-3)
    losses = extractor_losses(right._replace(landmarks=landmarks + 1.0), landmarks, POSE, torch.ones(2))
    expected = HALF_WINDOW_PX * (1 + 0.5) / 2  # the face twice as large in its window is off by half as much
    assert float(losses.landmarks) == pytest.approx(expected, rel=1e-4)
    assert float(losses.shape) == pytest.approx(0, abs=1e-3)
    assert float(losses.apertures) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("face", "term"), [("rough_face", "apertures"), ("face", "detail_apertures")])
def test_a_shut_mouth_costs_apertures(face, term):
    landmarks = torch.randn(2, 478, 3)
    right = perfect(landmarks, POSE)
    shut = right.face.clone()
    shut[:, 13] = shut[:, 14]
    losses = extractor_losses(right._replace(**{face: shut}), landmarks, POSE, torch.ones(2))
    charged = {name for name, loss in losses._asdict().items() if float(loss) > 0.02}
    assert charged == {term, term.replace("apertures", "shape")}


def test_without_a_closer_look_only_the_rough_face_costs():
    landmarks = torch.randn(2, 478, 3)
    face = torch.zeros(2, 478, 3)
    losses = extractor_losses(
        perfect(landmarks, POSE)._replace(face=face, rough_face=face), landmarks, POSE, torch.ones(2)
    )
    assert float(losses.shape) > 1
    assert float(losses.detail_shape) == float(losses.detail_apertures) == 0


def test_windows_without_face_teach_no_landmarks():
    prediction = perfect(torch.randn(2, 478, 3), POSE)._replace(presence=torch.zeros(2))
    losses = extractor_losses(prediction, torch.zeros(2, 478, 3), POSE, torch.zeros(2))
    assert float(losses.landmarks) == float(losses.shape) == float(losses.apertures) == 0
    assert float(losses.presence) == pytest.approx(math.log(2), rel=1e-4)


def test_lips_and_lids_weigh_most_and_depth_least():
    weights = point_weights()
    assert float(weights.mean()) == pytest.approx(1)
    assert weights[13, 0] > 3 * weights[10, 0]
    assert weights[159, 1] > 3 * weights[10, 1]
    assert (weights[:, 2] < weights[:, 0]).all()
