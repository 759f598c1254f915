"""Perceptual and style loss of known features."""

import torch

from model.training.losses.perceptual import feature_loss, gram_matrix, style_loss


def test_gram_matrix_of_a_known_map():
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels of 1x2
    torch.testing.assert_close(gram_matrix(maps), torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4)


def test_losses_of_known_features():
    got, wanted = [torch.full((1, 1, 2, 2), 3.0)], [torch.full((1, 1, 2, 2), 1.0)]
    assert feature_loss(got * 2, wanted * 2) == 4
    assert style_loss(got, wanted) == 8  # |9 - 1|
