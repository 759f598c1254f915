import pytest
import torch
from torch.nn import functional as F

from model.engines.fusion import enlarging_kernel, neighbours_kernel


def test_enlarge_and_convolve_is_one_transposed_convolution():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 5, 6, 7), torch.randn(4, 5, 3, 3), torch.randn(4)
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, bias, padding=1)
    fused = F.conv_transpose2d(x, enlarging_kernel(weight), bias, stride=2, padding=1)
    torch.testing.assert_close(fused, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("neighbours", [1, 2, 4])
def test_neighbours_become_channels(neighbours):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 5, 6, 8).double(), torch.randn(3, 5, 7, 7).double()
    expected = F.conv2d(x, weight, padding=3)
    channels = F.conv2d(x, neighbours_kernel(weight, neighbours), stride=(1, neighbours), padding=3)
    pixels = channels.permute(0, 2, 3, 1).reshape(2, 6, 8, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(pixels, expected, atol=1e-5, rtol=0)
