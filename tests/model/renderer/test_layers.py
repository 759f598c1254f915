import pytest
import torch
from torch.nn import functional as F

from model.renderer.layers import AdaIN, LayerNorm2d, SourceConv2d, normalize_instances


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_adain_is_its_formula(memory_format):
    torch.manual_seed(0)
    x = (3 * torch.randn(2, 4, 6, 5) + 7).contiguous(memory_format=memory_format)
    z = torch.randn(2, 3)
    layer = AdaIN(4, descriptor_size=3, hidden=8)
    gamma, beta = (layer.affine.weight @ F.relu(layer.hidden(z)).T + layer.affine.bias[:, None]).T.split(4, dim=1)
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    expected = (x - mean) / (variance + 1e-5).sqrt() * (1 + gamma[:, :, None, None]) + beta[:, :, None, None]
    torch.testing.assert_close(layer(x, z), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_of_instance_norm_is_its_own(memory_format):
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    assert torch.autograd.gradcheck(normalize_instances, (x,))
    torch.testing.assert_close(normalize_instances(x), F.group_norm(x, 3, eps=1e-5))


def test_the_gradient_of_instance_norm_keeps_type_and_layout():
    x = torch.randn(2, 8, 16, 16).to(torch.bfloat16, memory_format=torch.channels_last).requires_grad_()
    slope = torch.randn(2, 8, 16, 16).to(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(normalize_instances(x), x, slope.to(torch.bfloat16))
    assert gradient.dtype == torch.bfloat16
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    exact = x.detach().float().requires_grad_()
    (expected,) = torch.autograd.grad(F.group_norm(exact, 8, eps=1e-5), exact, slope)
    torch.testing.assert_close(gradient.float(), expected, atol=0.05, rtol=0.05)


def test_layer_norm_is_over_channels_and_pixels_with_an_affine_per_channel():
    x = torch.randn(2, 4, 6, 5) * 3 + 1
    layer = LayerNorm2d(4)
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    expected = F.layer_norm(x, (4, 6, 5)) * layer.weight[:, None, None] + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_source_conv_is_the_sum_of_its_parts():
    layer = SourceConv2d(3, 2, 4, kernel_size=7)
    source, rest = torch.randn(1, 3, 8, 8), torch.randn(2, 2, 8, 8)
    whole = layer(torch.cat((source.expand(2, -1, -1, -1), rest), dim=1))
    torch.testing.assert_close(layer.source_part(source) + layer.frame_part(rest), whole, atol=1e-5, rtol=1e-5)
