from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from model.metrics.efficientnet import EfficientNetLite0
from model.metrics.features import perceptual_distance
from model.renderer.network import RendererOutput
from model.training.losses.total import LossConfig, RendererLoss


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
    assert loss.efficientnet is None
    assert loss(output, output.image.detach() + 0.5).total.item() == pytest.approx(1.5)


def painted(output: RendererOutput) -> RendererOutput:
    """The output of a guided network: a colour of its own under a mask."""
    colour = (output.image.detach() * 0.5).requires_grad_()
    mask = torch.full_like(colour[:, :1], 0.5)
    return RendererOutput(
        **{**vars(output), "colour": colour, "mask": mask, "image": (output.warped + colour).detach() / 2}
    )


LITE = LossConfig(features="efficientnet-lite0", perceptual_warped=0, perceptual_image=2, style=0)


def test_features_of_efficientnet(output):
    loss = RendererLoss(LITE.model_copy(update={"perceptual_warped": 1.0, "perceptual_colour": 0.5}))
    assert loss.vgg is None
    output, target = painted(output), torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    found = loss(output, target)
    network = EfficientNetLite0()
    for name in ("warped", "image", "colour"):
        expected = perceptual_distance(network(getattr(output, name)), network(target)).mean()
        torch.testing.assert_close(found.terms[f"perceptual_{name}"], expected.detach())
    terms = found.terms
    expected = terms["perceptual_warped"] + 2 * terms["perceptual_image"] + 0.5 * terms["perceptual_colour"]
    torch.testing.assert_close(found.total.detach(), expected)
    found.total.backward()
    assert output.colour.grad is not None
    assert output.warped.grad is not None


def test_style_is_of_vgg_alone_and_a_file_of_vgg_goes_first(tmp_path: Path):
    with pytest.raises(ValidationError, match=r"style is 1000\.0; allowed is 0 where features is 'efficientnet-lite0'"):
        LossConfig(features="efficientnet-lite0")
    with_file = LossConfig(features="efficientnet-lite0", vgg_weights=tmp_path / "vgg.pth")
    assert with_file.reads_vgg
    assert not LITE.reads_vgg


def test_the_painting_by_itself(output):
    output = painted(output)
    config = LossConfig(
        perceptual_warped=0, perceptual_image=0, perceptual_colour=1, style=0, deepest_layer="relu1_1", scales=1
    )
    loss = RendererLoss(config)
    assert set(loss(output, output.colour.detach()).terms) == {"perceptual_colour"}
    assert loss(output, output.colour.detach()).total == 0
    assert not loss(output, output.colour.detach(), edited=False).terms
    loss(output, output.image).total.backward()
    assert output.colour.grad is not None
    assert output.warped.grad is None


def test_doubt_says_where_the_painting_counts(output):
    loss = RendererLoss(LossConfig(perceptual_warped=0, perceptual_image=0, style=0, l1_colour=2))
    output = painted(output)
    target = output.colour.detach().clone()
    target[..., :16] += 1.0  # the left half is off by one
    left = torch.zeros(1, 1, 32, 32)
    left[..., :16] = 1.0
    assert loss(output, target).total.item() == pytest.approx(2 * 0.5)
    assert loss(output, target, doubt=left).total.item() == pytest.approx(2 * 2.3 / 2.6)
    assert loss(output, target, doubt=1 - left).total.item() == pytest.approx(2 * 0.3 / 2.6)


def test_a_plain_networks_painting_is_its_image(output):
    loss = RendererLoss(
        LITE.model_copy(update={"perceptual_colour": 1.0, "l1_image": 1.0, "l1_colour": 1.0, "scales": 1})
    )
    terms = loss(output, torch.zeros(1, 3, 32, 32)).terms
    torch.testing.assert_close(terms["perceptual_colour"], terms["perceptual_image"])
    torch.testing.assert_close(terms["l1_colour"], terms["l1_image"])


def test_refuses_unknown_and_negative_terms():
    with pytest.raises(ValidationError, match="lpips"):
        LossConfig.model_validate({"lpips": 1})
    with pytest.raises(ValidationError, match="style"):
        LossConfig(style=-1)
