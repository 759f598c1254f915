"""Fitting finds the coefficients that made the landmarks."""

import numpy as np
import pytest
import torch

from model.errors import MotionSpaceError
from model.morphable import MorphableModel
from tests.model.conftest import random_motions


def test_fit_round_trip(morphable: MorphableModel) -> None:
    generator = np.random.default_rng(0)
    identity = torch.from_numpy(generator.normal(size=(1, 80)) * 0.7).float()
    motions = random_motions(generator, 40)
    landmarks = morphable.landmarks(identity.expand(40, -1), motions)
    fit = morphable.fit(landmarks, identity, noise_px=0.1, iterations=12)
    assert fit.error_px.max() < 0.3
    torch.testing.assert_close(fit.motion[:, 64:67], motions[:, 64:67], atol=0.01, rtol=0)
    shapes = [morphable.shape(identity, motion[:, :64]) for motion in (fit.motion, motions)]
    assert (shapes[0] - shapes[1]).abs().mean() * 128 < 0.5  # pixels


def test_identity_is_found_with_the_motion(morphable: MorphableModel) -> None:
    generator = np.random.default_rng(1)
    identity = torch.from_numpy(generator.normal(size=(8, 80)) * 0.7).float()
    landmarks = morphable.landmarks(identity, random_motions(generator, 8))
    fit = morphable.fit(landmarks)
    assert fit.identity.shape == (8, 80)
    assert fit.error_px.max() < 0.8


def test_noise_does_not_blow_up_coefficients(morphable: MorphableModel) -> None:
    landmarks = morphable.landmarks(torch.zeros(16, 80), torch.zeros(16, 70))
    noisy = landmarks + torch.randn(landmarks.shape, generator=torch.Generator().manual_seed(0)) * 2
    assert morphable.fit(noisy).motion[:, :64].abs().max() < 3


def test_one_pixel_of_translation(morphable: MorphableModel) -> None:
    landmarks = morphable.landmarks(torch.zeros(1, 80), torch.zeros(1, 70))
    motion = morphable.fit(landmarks + torch.tensor([12.8, -12.8, 0.0])).motion
    torch.testing.assert_close(motion[0, 68:], torch.tensor([0.1, -0.1]), atol=1e-3, rtol=0)


def test_a_motion_of_another_length_is_refused(morphable: MorphableModel) -> None:
    with pytest.raises(MotionSpaceError, match="73 numbers a frame; open478 has 70"):
        morphable.landmarks(torch.zeros(1, 80), torch.zeros(1, 73))
