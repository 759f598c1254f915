import pytest
import torch

from model.renderer import RendererConfig, motion_windows
from model.renderer.mapping import MappingNetwork


def test_windows_clamp_at_the_ends():
    windows = motion_windows(torch.tensor([[0.0], [1.0], [2.0]]), 2)
    assert windows[:, 0].tolist() == [[0, 0, 0, 1, 2], [0, 0, 1, 2, 2], [0, 1, 2, 2, 2]]


@pytest.mark.parametrize("frames", [1, 2, 13, 40])
@pytest.mark.parametrize("radius", [12, 13, 15])
def test_a_sequence_described_at_once_equals_its_windows(frames, radius):
    torch.manual_seed(frames)
    mapping = MappingNetwork(RendererConfig(motion_dimension=7, descriptor_size=16, window_radius=radius))
    motions = torch.randn(frames, 7)
    windowed = mapping(motion_windows(motions, radius))
    assert windowed.shape == (frames, 16)
    torch.testing.assert_close(mapping.describe_sequence(motions), windowed, atol=1e-5, rtol=0)
