"""Distances by features: their arithmetic on known maps, and what the network finds of a photo."""

from importlib.resources import files
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from model.metrics.perceptual import PerceptualDistance, perceptual_distance


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    return PerceptualDistance()


@pytest.fixture(scope="module")
def portrait() -> torch.Tensor:
    content = (files("service") / "samples" / "portrait.jpg").read_bytes()
    pixels = np.array(Image.open(BytesIO(content)).convert("RGB").resize((128, 128)))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1


def halves(left: float, right: float, *, size: int = 8) -> torch.Tensor:
    """A map (1, 1, size, size) of two numbers side by side."""
    row = torch.tensor([left, right]).repeat_interleave(size // 2)
    return row.expand(1, 1, size, size).clone()


def test_the_mean_of_the_depths_ratios() -> None:
    wanted = [torch.full((2, 3, 4, 4), 2.0), torch.full((2, 5, 2, 2), -100.0)]
    got = [wanted[0] + torch.tensor([1.0, 0.0]).view(2, 1, 1, 1), wanted[1] - 10]
    torch.testing.assert_close(perceptual_distance(got, wanted), torch.tensor([0.3, 0.05]))
    torch.testing.assert_close(
        perceptual_distance(got, wanted, torch.full((2, 1, 8, 8), 0.7)), torch.tensor([0.3, 0.05])
    )


def test_a_weight_chooses_where_to_look() -> None:
    wanted = [halves(1, 1), halves(1, 1, size=4)]
    got = [halves(2, 1), halves(2, 1, size=4)]
    for weight, expected in ((halves(1, 0), 1.0), (halves(0, 1), 0.0), (halves(3, 1), 0.75), (halves(0, 0), 0.0)):
        assert perceptual_distance(got, wanted, weight).item() == pytest.approx(expected)


def test_a_weight_is_averaged_over_each_place() -> None:
    weight = torch.zeros(1, 1, 8, 8)
    weight[..., :3] = 1.0  # of a map of two columns: three quarters of the left one
    weight[..., 4:] = 0.25
    assert perceptual_distance([halves(2, 1, size=2)], [halves(1, 1, size=2)], weight).item() == pytest.approx(0.75)


def test_equal_pictures_are_at_no_distance_and_more_blur_is_farther(
    distance: PerceptualDistance, portrait: torch.Tensor
) -> None:
    blurred = torch.cat([F.avg_pool2d(portrait, k, 1, k // 2, count_include_pad=False) for k in (1, 3, 5, 9, 17)])
    found = distance(blurred, portrait.expand_as(blurred))
    assert found[0] == 0
    assert (found.diff() > 0.05).all()
    assert not found.requires_grad


def test_what_changes_elsewhere_counts_little(distance: PerceptualDistance, portrait: torch.Tensor) -> None:
    changed = portrait.clone()
    changed[..., :64] = changed[..., :64].flip(3)
    left, right = (distance(changed, portrait, halves(*sides, size=128)) for sides in ((1, 0), (0, 1)))
    assert left.item() > 3 * right.item() > 0  # the deepest maps see both sides
