import pytest
import torch

from model.training.losses.reconstruction import multi_scale_l1, region_weighted_l1


def test_a_constant_difference_is_the_same_at_every_scale():
    assert multi_scale_l1(torch.full((1, 3, 8, 8), 0.5), torch.zeros(1, 3, 8, 8), scales=3) == 0.5


def test_a_checkerboard_vanishes_below_full_size():
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    assert multi_scale_l1(board.expand(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), scales=2) == pytest.approx(0.5)


def test_region_weights_choose_what_counts():
    image = torch.zeros(1, 3, 2, 2)
    image[..., 0] = 1.0
    left = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    assert region_weighted_l1(image, torch.zeros_like(image), left) == 1
    assert region_weighted_l1(image, torch.zeros_like(image), 1 - left) == 0
    assert region_weighted_l1(image, torch.zeros_like(image), 1 + 2 * left) == pytest.approx(0.75)
