from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model.renderer import EditingConfig, PIRenderer, RendererConfig, WarpingConfig


@dataclass(frozen=True)
class Case:
    network: PIRenderer
    source: Tensor
    motions: Tensor
    prior: Tensor | None


def make_case(*, guided: bool, frames: int = 3) -> Case:
    """A small network of random weights that moves the source by pixels, a smooth picture and smooth priors."""
    torch.manual_seed(7)
    config = RendererConfig(
        motion_dimension=6,
        descriptor_size=16,
        adain_hidden=16,
        warping=WarpingConfig(base_channels=8, max_channels=32, encoder_layers=3, decoder_layers=1),
        editing=EditingConfig(base_channels=8, max_channels=32, layers=1, residual_blocks=1),
        guided=guided,
        grid="aligned" if guided else "published",
    )
    network = PIRenderer(config).eval()
    source = F.interpolate(torch.rand(1, 3, 8, 8) * 2 - 1, size=(64, 64), mode="bicubic").clamp(-1, 1)
    prior = F.interpolate(torch.randn(frames, 2, 4, 4), size=(64, 64), mode="bicubic") if guided else None
    return Case(network, source, torch.randn(frames, 6), prior)


@pytest.fixture(params=[False, True], ids=["plain", "guided"])
def case(request) -> Case:
    return make_case(guided=request.param)


@pytest.fixture
def guided_case() -> Case:
    return make_case(guided=True)


@pytest.fixture
def plain_case() -> Case:
    return make_case(guided=False)
