import sys

import pytest
import torch

from model.errors import EngineError
from model.extractor.compiled import compiled
from model.extractor.network import FaceNetwork, NetworkConfig
from model.extractor.reader import FaceReader

WINDOW = 192


@pytest.fixture(scope="module")
def networks():
    """A network whose every part does something, its norms included, and its copy in OpenVINO."""
    torch.manual_seed(0)
    network = FaceNetwork(NetworkConfig(window_size=WINDOW)).train()
    network.set_linear_face(FaceReader.load(engine="torch").network.reference, 0.05 * torch.randn(64, 478 * 3))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    assert network.details is not None
    for part in (network.details.eye, network.details.mouth):
        torch.nn.init.normal_(part.output.weight, std=0.05)
    with torch.no_grad():
        network(torch.randint(0, 256, (8, 3, WINDOW, WINDOW), dtype=torch.uint8))
    return network.eval(), compiled(network)


@torch.inference_mode()
@pytest.mark.parametrize("closely", [False, True])
@pytest.mark.parametrize("batch", [1, 5])
def test_openvino_gives_what_torch_gives(networks, batch, closely):
    torch.manual_seed(batch)
    images = torch.randint(0, 256, (batch, 3, WINDOW, WINDOW), dtype=torch.uint8)
    expected, found = (network(images, closely=closely) for network in networks)
    assert float((expected.face - expected.rough_face).abs().max()) > (1e-3 if closely else -1)
    for name, value in expected._asdict().items():
        assert torch.allclose(getattr(found, name), value, atol=1e-4), name


def test_a_later_run_leaves_earlier_results_alone(networks):
    _, fast = networks
    images = torch.randint(0, 256, (2, 3, WINDOW, WINDOW), dtype=torch.uint8)
    first = fast.features(images[:1, :, :128, :128].float())
    kept = first.clone()
    fast.features(images[1:, :, :128, :128].float())
    assert torch.equal(first, kept)


def test_a_compiled_network_is_found_again_in_the_cache(networks, tmp_path):
    network, _ = networks
    compiled(network, cache_directory=tmp_path)
    blobs = {path.name for path in tmp_path.rglob("*.blob")}
    compiled(network, cache_directory=tmp_path)
    assert len(blobs) == 3
    assert {path.name for path in tmp_path.rglob("*.blob")} == blobs


def test_without_openvino_torch_serves(monkeypatch):
    monkeypatch.setitem(sys.modules, "model.extractor.compiled", None)
    assert isinstance(FaceReader.load().network.features, torch.nn.Sequential)
    with pytest.raises(EngineError, match=r"'openvino' is not available: .*; 'torch' would work"):
        FaceReader.load(engine="openvino")
