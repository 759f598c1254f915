"""The network against stored outputs of its own; `python tests/model/renderer/test_golden.py` writes them anew."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.renderer import EditingConfig, PIRenderer, RendererConfig, RendererOutput, WarpingConfig
from model.renderer.guide import Guide

GOLDEN = Path(__file__).parent / "golden" / "tiny.npz"
SIZE = 32


def tiny_network(*, guided: bool) -> PIRenderer:
    """Every weight drawn from its own name, so that neither order nor torch's generators matter."""
    config = RendererConfig(
        motion_dimension=5,
        descriptor_size=8,
        adain_hidden=6,
        warping=WarpingConfig(base_channels=4, max_channels=8, encoder_layers=4, decoder_layers=2),
        editing=EditingConfig(base_channels=4, max_channels=8, layers=2),
        guided=guided,
        grid="aligned" if guided else "published",
    )
    network = PIRenderer(config).eval()
    for key, value in network.state_dict().items():
        drawn = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(value.shape)
        scale = 0.1 if value.dim() == 1 else np.prod(value.shape[1:]) ** -0.5
        offset = float(value.dim() == 1 and "norm" in key and key.endswith("weight"))
        value.copy_(torch.from_numpy(drawn * scale + offset))
    return network


@torch.no_grad()
def outputs(*, guided: bool) -> RendererOutput:
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = [np.sin(7 * row + 3 * column + colour) * np.cos(5 * column * (1 + colour)) for colour in range(3)]
    source = torch.tensor(np.stack(waves)[None], dtype=torch.float32)
    motion = torch.tensor(np.sin(np.arange(5)[:, None] + 0.3 * np.arange(27))[None], dtype=torch.float32)
    coarse = torch.tensor(np.stack((np.sin(4 * row), np.cos(4 * column)))[None, :, ::2, ::2], dtype=torch.float32)
    prior = 2 * F.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return tiny_network(guided=guided)(source, motion, Guide.plain(prior).prior if guided else None)


@pytest.mark.parametrize("guided", [False, True])
def test_outputs_are_the_stored_ones(guided):
    output = outputs(guided=guided)
    stored = np.load(GOLDEN)
    for name in ("flow", "warped", "image"):
        expected = torch.from_numpy(stored[f"{'guided' if guided else 'plain'}_{name}"])
        torch.testing.assert_close(getattr(output, name), expected, atol=1e-5, rtol=0)
    assert output.image.std() > 0.1, "the stored picture would be too dull to show an error"


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        GOLDEN,
        **{
            f"{kind}_{name}": getattr(outputs(guided=kind == "guided"), name).numpy()
            for kind in ("plain", "guided")
            for name in ("flow", "warped", "image")
        },
    )
