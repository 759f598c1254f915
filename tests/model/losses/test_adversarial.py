"""The mouth's discriminator: what it is shown, and that it learns to tell and to guide."""

import pytest
import torch

from model.losses.adversarial import CROP, PatchDiscriminator, crops, discriminator_loss, generator_losses


def test_crops_lie_around_their_centres_and_inside_the_picture() -> None:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    images = torch.stack([x, y, x]).expand(2, 3, 128, 128)
    cut = crops(images, torch.tensor([[100.0, 140.0], [0.0, 256.0]]))
    side = CROP // 2  # pictures of half the crop's size
    assert cut.shape == (2, 3, side, side)
    assert cut[0, 0].mean() == pytest.approx(49.5)  # 100 / 2, counted from pixel middles
    assert cut[0, 1].mean() == pytest.approx(69.5)
    assert (cut[1, 0].min(), cut[1, 1].max()) == (0, 127)


def test_it_learns_to_tell_stripes_from_noise_and_passes_that_on() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(channels=8)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.0, 0.99))
    real = torch.sin(torch.arange(32.0)).expand(4, 3, 32, 32)
    for _ in range(60):
        loss = discriminator_loss(discriminator(real)[0], discriminator(torch.randn(4, 3, 32, 32))[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5
    made = torch.randn(4, 3, 32, 32, requires_grad=True)
    adversarial, features = generator_losses(discriminator, made, real)
    before = adversarial.item()
    (gradient,) = torch.autograd.grad(adversarial + features, made)
    after, _ = generator_losses(discriminator, made - 0.5 * gradient.sign(), real)
    assert after.item() < before
