import math

import pytest
import torch

from model.extractor.loss import HALF_WINDOW_PX, extractor_losses, point_weights
from model.extractor.network import FaceNetwork, NetworkConfig, Prediction

SMALL = NetworkConfig(input_size=32, channels=(4, 8, 8), blocks=(0, 1, 1), hidden=16, components=3)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = FaceNetwork(SMALL).eval()
    network.set_linear_face(torch.randn(478, 3), 0.1 * torch.randn(3, 478 * 3))
    return network


def test_shapes_and_ranges(network):
    prediction = network(torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8))
    assert [tuple(part.shape) for part in prediction] == [(5, 478, 3), (5, 4), (5,), (5,)]
    assert all(torch.isfinite(part).all() for part in prediction)


def test_pose_is_the_similarity_applied_to_the_linear_face(network):
    torch.nn.init.normal_(network.output.weight, std=0.2)
    prediction = network(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    x, y, log_scale, angle = prediction.pose.unbind(-1)
    cosine, sine = angle.cos() / log_scale.exp(), angle.sin() / log_scale.exp()
    moved = prediction.landmarks[..., 0] - x[:, None], prediction.landmarks[..., 1] - y[:, None]
    face = cosine[:, None] * moved[0] + sine[:, None] * moved[1]
    unexplained = face - network.reference[:, 0]
    basis = network.basis.detach().view(3, 478, 3)[..., 0]
    solution = torch.linalg.lstsq(basis.T, unexplained.T).solution
    assert torch.allclose(basis.T @ solution, unexplained.T, atol=1e-4)


def test_the_released_size_is_small():
    count = sum(value.numel() for value in FaceNetwork().state_dict().values())
    assert 2 * count < 10e6


def test_perfect_landmarks_cost_nothing_and_errors_are_in_crop_pixels():
    landmarks = torch.randn(2, 478, 3)
    log_scale = torch.tensor([0.0, math.log(2.0)])
    presence = torch.ones(2)
    perfect = Prediction(landmarks, torch.zeros(2, 4), torch.full((2,), 20.0), torch.full((2,), math.log(0.1)))
    losses = extractor_losses(perfect, landmarks, log_scale, presence)
    assert float(losses.total) == pytest.approx(0, abs=1e-4)
    off = perfect._replace(landmarks=landmarks + torch.tensor([1.0, 1.0, 1.0]))
    expected = HALF_WINDOW_PX * (1 + 0.5) / 2  # the face twice as large in its window is off by half as much
    losses = extractor_losses(off, landmarks, log_scale, presence)
    assert float(losses.landmarks) == pytest.approx(expected, rel=1e-4)
    assert float(losses.apertures) == pytest.approx(0, abs=1e-3)


def test_windows_without_face_teach_no_landmarks():
    prediction = Prediction(torch.randn(2, 478, 3), torch.zeros(2, 4), torch.zeros(2), torch.zeros(2))
    losses = extractor_losses(prediction, torch.zeros(2, 478, 3), torch.zeros(2), torch.zeros(2))
    assert float(losses.landmarks) == 0
    assert float(losses.presence) == pytest.approx(math.log(2), rel=1e-4)


def test_lips_and_lids_weigh_most_and_depth_least():
    weights = point_weights()
    assert float(weights.mean()) == pytest.approx(1)
    assert weights[13, 0] > 3 * weights[10, 0]
    assert weights[159, 1] > 3 * weights[10, 1]
    assert (weights[:, 2] < weights[:, 0]).all()
