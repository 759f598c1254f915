"""A wide renderer starts where a narrow one has got to."""

import pytest
import torch

from model.data.batch import Batch
from model.errors import ModelError
from model.evaluation.renderer.preview import render_batch
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.renderer.guide import CHANNELS
from model.renderer.layers import ConvNorm
from model.renderer.network import PIRenderer
from model.training.renderer.grow import grow

SIDE = 64


def sized(
    warping: tuple[int, int], editing: tuple[int, int], *, guided: bool = True, doubt: bool = False
) -> RendererConfig:
    return RendererConfig(
        motion_dimension=5,
        descriptor_size=16,
        adain_hidden=8,
        warping=WarpingConfig(base_channels=warping[0], max_channels=warping[1]),
        editing=EditingConfig(base_channels=editing[0], max_channels=editing[1]),
        guided=guided,
        doubt=doubt,
        patch=2 if doubt else 1,
        grid="aligned",
    )


def trained(config: RendererConfig) -> PIRenderer:
    """A network whose every weight, bias and norm does something."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        network = PIRenderer(config)
        for parameter in network.parameters():
            spread = 0.3 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
            parameter.add_(torch.randn(parameter.shape) * spread)
    return network.eval()


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(4, 3, 8, 8, generator=generator) * 2 - 1
    source = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    return Batch(
        source=source,
        target=source,
        motion=torch.randn(4, 5, 27, generator=generator),
        prior=torch.cat(
            (
                torch.randn(4, 2, SIDE, SIDE, generator=generator),
                torch.rand(4, CHANNELS - 2, SIDE, SIDE, generator=generator),
            ),
            dim=1,
        ),
        region=None,
    )


@pytest.mark.parametrize(("guided", "doubt"), [(True, False), (True, True), (False, False)])
def test_twice_as_wide_renders_the_same(guided: bool, doubt: bool) -> None:
    narrow = trained(sized((4, 16), (4, 8), guided=guided, doubt=doubt))
    wide = grow(narrow, sized((8, 32), (8, 16), guided=guided, doubt=doubt), batch(0), torch.Generator().manual_seed(2))
    with torch.no_grad():
        before, after = render_batch(narrow, batch(3)), render_batch(wide, batch(3))
    assert before.image.std() > 0.1
    torch.testing.assert_close(after.flow, before.flow, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.image, before.image, atol=1e-4, rtol=1e-4)


def test_where_copies_cannot_be_even_it_renders_nearly_the_same() -> None:
    narrow = trained(sized((6, 24), (6, 24)))
    config = sized((16, 64), (16, 64))
    with torch.no_grad():
        before = render_batch(narrow, batch(3)).image
        after = render_batch(grow(narrow, config, batch(0), torch.Generator().manual_seed(2)), batch(3)).image
    assert (after - before).square().mean().sqrt() < 0.04 * before.std()


def test_copies_learn_apart() -> None:
    """Equal copies would have equal gradients, and the wide network no more to it than the narrow one."""
    narrow = trained(sized((4, 16), (4, 8)))
    wide = grow(narrow, sized((8, 32), (8, 16)), batch(0), torch.Generator().manual_seed(2)).train()
    output = render_batch(wide, batch(3))
    (output.image - batch(4).target).abs().mean().backward()
    first = wide.editing.encoder[0]
    assert isinstance(first, ConvNorm)
    gradient = first.conv.weight.grad
    assert gradient is not None
    directions = torch.nn.functional.normalize(gradient.flatten(1), dim=1)
    alike = (directions[::2] * directions[1::2]).sum(1)  # neighbours are copies of one channel
    assert alike.max() < 0.9999


def test_refuses_what_is_no_wider_network_of_the_same_kind() -> None:
    narrow = trained(sized((4, 16), (4, 8)))
    generator = torch.Generator()
    with pytest.raises(ModelError, match=r"editing.base_channels is 2; it must be at least 4"):
        grow(narrow, sized((4, 16), (2, 8)), batch(0), generator)
    with pytest.raises(ModelError, match="guided is False; it must be True"):
        grow(narrow, sized((8, 32), (8, 16), guided=False), batch(0), generator)
