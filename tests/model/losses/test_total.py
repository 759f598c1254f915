import pytest
import torch
from pydantic import ValidationError

from model.losses.total import LossConfig, RendererLoss
from model.renderer.network import RendererOutput


@pytest.fixture
def output() -> RendererOutput:
    return random_output(32)


def random_output(size: int) -> RendererOutput:
    generator = torch.Generator().manual_seed(2)
    warped = (torch.rand(1, 3, size, size, generator=generator) * 2 - 1).requires_grad_()
    image = (torch.rand(1, 3, size, size, generator=generator) * 2 - 1).requires_grad_()
    return RendererOutput(
        flow=torch.zeros(1, 2, 8, 8),
        places=torch.zeros(1, 32, 32, 2),
        warped=warped,
        image=image,
        colour=image,
        mask=None,
    )


def test_the_default_is_the_papers_recipe():
    loss = RendererLoss(LossConfig())(random_output(128), torch.zeros(1, 3, 128, 128))  # 1/8 must still have 16 pixels
    terms = loss.terms
    assert set(terms) == {"perceptual_warped", "perceptual_image", "style"}
    expected = 2.5 * terms["perceptual_warped"] + 4 * terms["perceptual_image"] + 1000 * terms["style"]
    torch.testing.assert_close(loss.total.detach(), expected)


def test_zero_at_the_target(output):
    same = RendererOutput(**{**vars(output), "image": output.warped})
    config = LossConfig(l1_warped=1, l1_image=1, region_image=1, deepest_layer="relu2_1", scales=2)
    loss = RendererLoss(config)(same, output.warped.detach(), region=torch.ones(1, 1, 32, 32))
    assert set(loss.terms) == {
        *("perceptual_warped", "l1_warped", "perceptual_image", "style", "l1_image", "region_image")
    }
    assert loss.total == 0


def test_only_the_warped_source_counts_before_editing(output):
    config = LossConfig(l1_warped=1, l1_image=1, deepest_layer="relu1_1", scales=1)
    loss = RendererLoss(config)(output, torch.zeros(1, 3, 32, 32), edited=False)
    assert set(loss.terms) == {"perceptual_warped", "l1_warped"}
    loss.total.backward()
    assert output.warped.grad is not None
    assert output.image.grad is None


def test_pixels_alone_need_no_vgg(output):
    loss = RendererLoss(LossConfig(perceptual_warped=0, perceptual_image=0, style=0, l1_image=3, scales=1))
    assert loss.vgg is None
    assert loss(output, output.image.detach() + 0.5).total.item() == pytest.approx(1.5)


def test_refuses_unknown_and_negative_terms():
    with pytest.raises(ValidationError, match="lpips"):
        LossConfig(lpips=1)
    with pytest.raises(ValidationError, match="style"):
        LossConfig(style=-1)
