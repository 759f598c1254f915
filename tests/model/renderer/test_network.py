import pytest
import torch

from model.errors import ModelError
from model.renderer import EditingConfig, PIRenderer, RendererConfig, WarpingConfig, initialize
from model.renderer.cost import count_flops


def tiny(*, guided: bool) -> RendererConfig:
    return RendererConfig(
        motion_dimension=6,
        descriptor_size=12,
        adain_hidden=8,
        warping=WarpingConfig(base_channels=4, max_channels=16),
        editing=EditingConfig(base_channels=4, max_channels=16),
        guided=guided,
        grid="aligned",
    )


@pytest.fixture(params=[False, True], ids=["plain", "guided"])
def network(request) -> PIRenderer:
    torch.manual_seed(3)
    return PIRenderer(tiny(guided=request.param))


def inputs(network: PIRenderer, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(4)
    source = torch.rand(batch, 3, 64, 64, generator=generator) * 2 - 1
    prior = torch.randn(batch, 2, 64, 64, generator=generator) if network.config.guided else None
    return source, torch.randn(batch, 6, 27, generator=generator), prior


def test_shapes_and_ranges(network):
    output = network(*inputs(network))
    assert output.flow.shape == (2, 2, 16, 16)
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
    network = initialize(PIRenderer(RendererConfig.light(6)), torch.Generator().manual_seed(0))
    source = torch.rand(1, 3, 64, 64) * 2 - 1
    prior = torch.randn(1, 2, 64, 64)
    output = network(source, torch.randn(1, 6, 27), prior)
    assert output.flow.abs().max() < 0.5
    assert output.mask is not None
    assert output.mask.mean().item() == pytest.approx(0.9, abs=0.02)
    expected = output.mask * output.warped + (1 - output.mask) * output.colour
    torch.testing.assert_close(output.image, expected)


def test_initialisation_is_the_papers_and_repeats():
    networks = [initialize(PIRenderer(tiny(guided=False)), torch.Generator().manual_seed(5)) for _ in range(2)]
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], second[key]) for key in first)
    weights = torch.cat([p.flatten() for p in networks[0].parameters() if p.dim() > 1])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert networks[0].mapping.first.bias.count_nonzero() == 0


def test_refuses_what_does_not_fit():
    plain, guided = PIRenderer(tiny(guided=False)), PIRenderer(tiny(guided=True))
    source, motion, prior = inputs(guided)
    with pytest.raises(ModelError, match="the image is 64x60; both sides must be multiples of 32"):
        plain(source[:, :, :60], motion)
    with pytest.raises(ModelError, match="needs a prior flow: it is guided"):
        guided(source, motion)
    with pytest.raises(ModelError, match="takes no prior flow: it is not guided"):
        plain(source, motion, prior)
    with pytest.raises(ModelError, match=r"prior flow is \(2, 8, 8\); it must be \(2, 64, 64\)"):
        guided(source, motion, prior[:, :, :8, :8])
    with pytest.raises(ValueError, match="decoder_layers is 5; it must be less than encoder_layers, 5"):
        WarpingConfig(decoder_layers=5)


@pytest.mark.parametrize(
    ("config", "whole", "portrait"), [(RendererConfig.full(73), 101.4, 1.85), (RendererConfig.light(70), 18.0, 0.77)]
)
def test_costs_are_what_the_config_says(config, whole, portrait):
    with torch.device("meta"):
        cost = count_flops(PIRenderer(config))
    assert cost["whole"] / 1e9 == pytest.approx(whole, abs=0.06)
    assert cost["portrait"] / 1e9 == pytest.approx(portrait, abs=0.01)
    assert cost["frame"] < cost["whole"]
