from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model.renderer import EditingConfig, PIRenderer, RendererConfig, WarpingConfig
from model.renderer.guide import CHANNELS, Guide


@dataclass(frozen=True)
class Case:
    network: PIRenderer
    source: Tensor
    motions: Tensor
    prior: Tensor | None


def make_case(*, guided: bool, doubt: bool = False, frames: int = 3) -> Case:
    """A small network of random weights that moves the source by pixels, a smooth picture and smooth priors."""
    torch.manual_seed(7)
    config = RendererConfig(
        motion_dimension=6,
        descriptor_size=16,
        adain_hidden=16,
        warping=WarpingConfig(base_channels=8, max_channels=32, encoder_layers=3, decoder_layers=1),
        editing=EditingConfig(base_channels=8, max_channels=32, layers=1, residual_blocks=1),
        guided=guided,
        doubt=doubt,
        patch=2 if doubt else 1,
        grid="aligned" if guided else "published",
    )
    network = PIRenderer(config).eval()
    source = F.interpolate(torch.rand(1, 3, 8, 8) * 2 - 1, size=(64, 64), mode="bicubic").clamp(-1, 1)
    prior = smooth_prior(frames) if guided else None
    return Case(network, source, torch.randn(frames, 6), prior)


def smooth_prior(frames: int) -> Tensor:
    """Priors that move, complete and doubt, changing slowly over the picture."""
    parts = F.interpolate(torch.randn(frames, CHANNELS, 4, 4), size=(64, 64), mode="bicubic")
    guide = Guide(parts)
    return Guide.made(
        flow=guide.flow,
        completion=0.3 * guide.completion,
        completed=guide.completed.sigmoid(),
        doubt=guide.doubt.sigmoid(),
    ).prior


@pytest.fixture(params=["plain", "guided", "doubtful"])
def case(request) -> Case:
    return make_case(guided=request.param != "plain", doubt=request.param == "doubtful")


@pytest.fixture
def guided_case() -> Case:
    return make_case(guided=True)


@pytest.fixture
def doubtful_case() -> Case:
    return make_case(guided=True, doubt=True)


@pytest.fixture
def plain_case() -> Case:
    return make_case(guided=False)
