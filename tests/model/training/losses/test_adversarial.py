"""The discriminator: that it learns to tell and to guide, and looks where it is told."""

import pytest
import torch

from model.training.losses.adversarial import PatchDiscriminator, adversarial_loss, discriminator_loss


def test_it_learns_to_tell_stripes_from_noise_and_passes_that_on() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(channels=8)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.0, 0.99))
    everywhere = torch.ones(4, 1, 32, 32)
    real = torch.sin(torch.arange(32.0)).expand(4, 3, 32, 32)
    for _ in range(60):
        loss = discriminator_loss(discriminator(real), discriminator(torch.randn(4, 3, 32, 32)), everywhere)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5
    made = torch.randn(4, 3, 32, 32, requires_grad=True)
    before = adversarial_loss(discriminator(made), everywhere)
    (gradient,) = torch.autograd.grad(before, made)
    after = adversarial_loss(discriminator(made - 0.5 * gradient.sign()), everywhere)
    assert after.item() < before.item()


def test_patches_count_by_their_weight() -> None:
    scores = torch.zeros(1, 1, 4, 4)
    scores[..., 2:] = 3.0
    weight = torch.zeros(1, 1, 32, 32)
    weight[..., 16:] = 0.5
    assert adversarial_loss(scores, weight).item() == pytest.approx(-3.0 * 0.5 / 2)  # on half of the picture
    assert discriminator_loss(scores, -scores, weight).item() == 0.0
    assert discriminator_loss(scores, -scores, 1 - weight).item() > 0.5
