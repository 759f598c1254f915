"""The network against stored outputs of the authors' own, where those are at hand."""

import json
import zlib

import numpy as np
import pytest
import torch

from model.renderer.network import PIRenderer
from model.renderer.official import load_official_checkpoint, network_from_official
from tests.support.paths import GOLDEN

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no outputs of the authors' network here")


def assert_agrees(network: PIRenderer, name: str) -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / name).items()}
    with torch.no_grad():
        output = network(golden["source"], golden["motion"])
        descriptor = network.mapping(golden["motion"])
    torch.testing.assert_close(descriptor, golden["descriptor"][:, :, 0], atol=1e-4, rtol=0)
    for key in ("flow", "warped", "image"):
        torch.testing.assert_close(getattr(output, key), golden[key], atol=1e-4, rtol=0)


def made_weights(key: str, shape: list[int]) -> torch.Tensor:
    drawn = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if len(shape) == 3 and shape[1:] == [1, 1]:
        drawn = 0.1 * drawn + key.endswith("weight")
    elif key.endswith("bias"):
        drawn = 0.05 * drawn
    else:
        drawn = drawn / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(drawn.astype(np.float32))


def test_small_network_from_the_checkpoint_file():
    network = load_official_checkpoint(GOLDEN / "renderer_small_checkpoint.pt")
    assert network.config.descriptor_size == 32
    assert network.config.warping.base_channels == 8
    assert network.config.editing.max_channels == 32
    assert_agrees(network, "renderer_small.npz")


@pytest.mark.slow
def test_full_network_from_weights_made_key_by_key():
    shapes = json.loads((GOLDEN / "renderer_full_keys.json").read_text())
    network = network_from_official({key: made_weights(key, shape) for key, shape in shapes.items()})
    assert_agrees(network, "renderer_full.npz")
