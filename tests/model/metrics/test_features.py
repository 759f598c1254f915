import pytest
import torch
from torch.nn import functional as F

from model.errors import WeightsError
from model.metrics.features import LAYERS, VGG19, image_pyramid
from model.training.losses.perceptual import feature_loss


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_layers_have_the_sizes_of_vgg19(image):
    maps = VGG19()(image)
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    assert all((m >= 0).all() for m in maps)


def test_keys_are_those_of_torchvision():
    convolutions = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28]
    assert list(VGG19().state_dict()) == [f"features.{n}.{kind}" for n in convolutions for kind in ("weight", "bias")]


def test_random_weights_are_fixed_and_keep_the_signal_alive(image):
    first, second = VGG19()(image), VGG19()(image)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
        assert 0.2 < a.square().mean().sqrt() < 10


@pytest.mark.parametrize("deepest", LAYERS)
def test_cut_network_gives_the_same_first_maps(deepest, image):
    whole, cut = VGG19()(image), VGG19(deepest=deepest)(image)
    assert len(cut) == LAYERS.index(deepest) + 1
    # a shallower network draws the same numbers in the same order
    for a, b in zip(whole, cut, strict=False):
        torch.testing.assert_close(a, b)


def test_weights_from_a_file(tmp_path, image):
    state = {key: torch.full_like(value, 0.01) for key, value in VGG19(deepest="relu2_1").state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    vgg = VGG19(deepest="relu1_1", weights=tmp_path / "vgg.pth")
    normalized = ((image + 1) / 2 - vgg.mean) / vgg.deviation
    expected = F.relu(F.conv2d(normalized, torch.full((64, 3, 3, 3), 0.01), torch.full((64,), 0.01), padding=1))
    torch.testing.assert_close(vgg(image)[0], expected)


def test_refuses_files_that_do_not_fit(tmp_path):
    torch.save({"features.0.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"missing or misshapen: \['features.0.weight', 'features.0.bias'\]"):
        VGG19(deepest="relu1_1", weights=tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        VGG19(weights=tmp_path / "broken.pth")
    with pytest.raises(ValueError, match="'relu6_1'; allowed are relu1_1"):
        VGG19(deepest="relu6_1")


def test_pyramid_halves():
    assert [tuple(level.shape[2:]) for level in image_pyramid(torch.zeros(1, 3, 16, 8), 3)] == [(16, 8), (8, 4), (4, 2)]


def test_gradient_reaches_the_image_and_not_the_network(image):
    vgg = VGG19(deepest="relu2_1")
    leaf = image.clone().requires_grad_()
    feature_loss(vgg(leaf), vgg(-image)).backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in vgg.parameters())
