import math
from typing import Literal

import pytest
import torch

from model.errors import ModelError
from model.evaluation.renderer.cost import count_flops
from model.renderer import EditingConfig, PIRenderer, RendererConfig, WarpingConfig, initialize
from model.renderer.guide import CHANNELS, DOUBTS, Guide
from model.renderer.network import DOUBT_LOGIT


def tiny(*, guided: bool, doubt: bool = False, patch: Literal[1, 2] = 1) -> RendererConfig:
    return RendererConfig(
        motion_dimension=6,
        descriptor_size=12,
        adain_hidden=8,
        warping=WarpingConfig(base_channels=4, max_channels=16),
        editing=EditingConfig(base_channels=4, max_channels=16),
        guided=guided,
        doubt=doubt,
        patch=patch,
        grid="aligned",
    )


@pytest.fixture(
    params=[tiny(guided=False), tiny(guided=True), tiny(guided=True, doubt=True, patch=2)],
    ids=["plain", "guided", "doubtful, by patches"],
)
def network(request) -> PIRenderer:
    torch.manual_seed(3)
    return PIRenderer(request.param)


def inputs(network: PIRenderer, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(4)
    source = torch.rand(batch, 3, 64, 64, generator=generator) * 2 - 1
    flow = torch.randn(batch, 2, 64, 64, generator=generator)
    completed = torch.rand(batch, 1, 64, 64, generator=generator)
    guide = Guide.made(
        flow=flow,
        completion=completed * (torch.rand(batch, 3, 64, 64, generator=generator) * 2 - 1),
        completed=completed,
        doubt=torch.rand(batch, len(DOUBTS), 64, 64, generator=generator),
    )
    prior = guide.prior if network.config.guided else None
    return source, torch.randn(batch, 6, 27, generator=generator), prior


def test_shapes_and_ranges(network):
    output = network(*inputs(network))
    coarse = 64 // network.config.flow_scale
    assert output.flow.shape == (2, 2, coarse, coarse)
    assert output.warped.shape == output.image.shape == (2, 3, 64, 64)
    assert output.image.abs().max() <= 1
    assert (output.mask is not None) == network.config.guided


def test_a_prepared_portrait_renders_the_same(network):
    source, motion, prior = inputs(network)
    source = source[:1].expand(2, -1, -1, -1)
    whole = network(source, motion, prior)
    apart = network.render(network.prepare(source[:1]), network.mapping(motion), prior)
    for name in ("flow", "warped", "image"):
        torch.testing.assert_close(getattr(apart, name), getattr(whole, name), atol=1e-4, rtol=0)


def test_frames_of_a_batch_do_not_mix(network):
    source, motion, prior = inputs(network)
    together = network(source, motion, prior).image[1:]
    alone = network(source[1:], motion[1:], None if prior is None else prior[1:]).image
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_every_parameter_learns_even_in_bfloat16(network):
    source, motion, prior = inputs(network)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(source, motion, prior)
    assert output.image.dtype == output.flow.dtype == torch.float32
    (output.image - source).square().mean().backward()
    gradients = {key: parameter.grad for key, parameter in network.named_parameters()}
    still = [key for key, grad in gradients.items() if grad is None or not grad.isfinite().all() or not grad.any()]
    # A bias just before an instance norm moves nothing; its gradient is rounding alone and may be zero.
    assert [key for key in still if not key.endswith("bias")] == []


def test_warping_can_train_alone(network):
    source, motion, prior = inputs(network)
    output = network(source, motion, prior, edit=False)
    assert output.image is output.warped
    assert torch.equal(output.warped, network(source, motion, prior).warped)


def test_guided_network_starts_at_its_prior():
    network = initialize(PIRenderer(tiny(guided=True)), torch.Generator().manual_seed(0))
    source = torch.rand(1, 3, 64, 64) * 2 - 1
    prior = Guide.plain(torch.randn(1, 2, 64, 64)).prior
    output = network(source, torch.randn(1, 6, 27), prior)
    assert output.flow.abs().max() < 0.5
    assert output.mask is not None
    assert output.mask.mean().item() == pytest.approx(0.9, abs=0.02)
    expected = output.mask * output.warped + (1 - output.mask) * output.colour
    torch.testing.assert_close(output.image, expected)


def test_a_network_told_of_doubt_starts_by_painting_where_it_is():
    network = initialize(PIRenderer(RendererConfig.light(6)), torch.Generator().manual_seed(0))
    doubt = torch.zeros(1, len(DOUBTS), 64, 64)
    doubt[:, 1, :, 32:] = 1
    prior = torch.cat((torch.zeros(1, CHANNELS - len(DOUBTS), 64, 64), doubt), dim=1)
    mask = network(torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 6, 27), prior).mask
    sure = 1 / (1 + math.exp(-DOUBT_LOGIT))
    assert mask[..., :32].mean().item() == pytest.approx(sure, abs=0.02)
    assert mask[..., 32:].mean().item() == pytest.approx(1 - sure, abs=0.02)


def test_what_is_completed_replaces_what_is_read(network):
    if not network.config.guided:
        pytest.skip("a plain network has no prior")
    source, motion, prior = inputs(network)
    assert prior is not None
    guide = Guide(prior)
    blue = torch.tensor([-1.0, -1.0, 1.0])[:, None, None].expand(2, 3, 64, 64)
    whole = Guide.made(flow=guide.flow, completion=blue, completed=torch.ones(2, 1, 64, 64), doubt=guide.doubt)
    output = network(source, motion, whole.prior)
    torch.testing.assert_close(output.warped, blue, atol=1e-6, rtol=0)
    assert output.read.abs().max() == 0
    none = network(source, motion, Guide.plain(guide.flow).prior)
    torch.testing.assert_close(none.read, none.mask)


def test_initialisation_is_the_papers_and_repeats():
    networks = [initialize(PIRenderer(tiny(guided=False)), torch.Generator().manual_seed(5)) for _ in range(2)]
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], second[key]) for key in first)
    weights = torch.cat([p.flatten() for p in networks[0].parameters() if p.dim() > 1])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    bias = networks[0].mapping.first.bias
    assert bias is not None
    assert bias.count_nonzero() == 0


def test_refuses_what_does_not_fit():
    plain, guided = PIRenderer(tiny(guided=False)), PIRenderer(tiny(guided=True))
    source, motion, prior = inputs(guided)
    assert prior is not None
    with pytest.raises(ModelError, match="the image is 64x60; both sides must be multiples of 32"):
        plain(source[:, :, :60], motion)
    with pytest.raises(ModelError, match="needs a prior: it is guided"):
        guided(source, motion)
    with pytest.raises(ModelError, match="takes no prior: it is not guided"):
        plain(source, motion, prior)
    with pytest.raises(ModelError, match=r"prior is \(11, 8, 8\); it must be \(11, 64, 64\)"):
        guided(source, motion, prior[:, :, :8, :8])
    with pytest.raises(ValueError, match="decoder_layers is 5; it must be less than encoder_layers, 5"):
        WarpingConfig(decoder_layers=5)
    with pytest.raises(ValueError, match="doubt is true; allowed is false unless the network is guided"):
        tiny(guided=False, doubt=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "whole", "portrait"), [(RendererConfig.full(73), 101.4, 1.85), (RendererConfig.light(70), 9.70, 0.31)]
)
def test_costs_are_what_the_config_says(config, whole, portrait):
    with torch.device("meta"):
        cost = count_flops(PIRenderer(config))
    assert cost["whole"] / 1e9 == pytest.approx(whole, abs=0.06)
    assert cost["portrait"] / 1e9 == pytest.approx(portrait, abs=0.01)
    assert cost["frame"] < cost["whole"]
