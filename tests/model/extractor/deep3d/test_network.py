"""The network against torchvision's ResNet-50, whose keys the checkpoints have.

The numbers below are what torchvision 0.29.1's own network gave with the same weights for the same picture.
"""

import numpy as np
import pytest
import torch

from model.extractor.deep3d.network import Deep3DNetwork
from tests.support.deep3d import made_network, trunk_shapes

TRUNK_PARAMETERS = 25_557_032 - (2048 * 1000 + 1000)  # the published count, less the classifier

FIRST_FEATURES = [
    86.31660461425781, 13.988727569580078, 116.23682403564453, 11.618850708007812,
    15.550930976867676, 3.657576560974121, 0.32056838274002075, 26.15962028503418,
]  # fmt: skip
MEAN, NORM = 44.772735595703125, 2872.8994140625


@pytest.fixture(scope="module")
def network() -> Deep3DNetwork:
    network = Deep3DNetwork()
    network.load_state_dict(made_network())
    return network.eval()


def picture() -> torch.Tensor:
    """(1, 224, 224, 3): red rises to the right, green downwards, blue is their mean."""
    x, y = np.meshgrid(np.arange(224), np.arange(224))
    return torch.from_numpy(np.stack([x, y, (x + y) // 2], -1).astype(np.uint8))[None]


def test_its_keys_and_shapes_are_those_of_the_published_architecture(network):
    trunk = {key: tuple(value.shape) for key, value in network.backbone.state_dict().items()}
    assert trunk == trunk_shapes()
    assert sum(value.numel() for value in network.backbone.parameters()) == TRUNK_PARAMETERS
    assert [layer.weight.shape[0] for layer in network.final_layers] == [80, 64, 80, 3, 27, 2, 1]


@torch.no_grad()
def test_its_features_are_torchvisions(network):
    features = network.backbone(picture().permute(0, 3, 1, 2).float() / 255).flatten()
    assert features.shape == (2048,)
    torch.testing.assert_close(features[:8], torch.tensor(FIRST_FEATURES), rtol=1e-4, atol=1e-3)
    assert features.mean().item() == pytest.approx(MEAN, rel=1e-4)
    assert features.norm().item() == pytest.approx(NORM, rel=1e-4)


@torch.no_grad()
def test_coefficients_are_linear_layers_of_the_features_one_after_the_other(network):
    coefficients = network(picture())
    assert coefficients.shape == (1, 257)
    features = network.backbone(picture().permute(0, 3, 1, 2).float() / 255).flatten()
    state = made_network()
    weight = torch.cat([state[f"final_layers.{index}.weight"].flatten(1) for index in range(7)])
    bias = torch.cat([state[f"final_layers.{index}.bias"] for index in range(7)])
    torch.testing.assert_close(coefficients[0], weight @ features + bias, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_each_picture_of_a_batch_is_read_by_itself(network):
    pair = torch.cat([picture(), 255 - picture()])
    together = network(pair)
    torch.testing.assert_close(together, torch.cat([network(pair[:1]), network(pair[1:])]), rtol=1e-4, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.01
