import pytest
import torch

from model.engines.openvino_engine import OpenVINOEngine, native_precision
from model.engines.openvino_graph import cached_graph, graph_path
from model.engines.torch_engine import TorchEngine
from model.errors import EngineError
from model.metrics import psnr


def both(case, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of the reference and of OpenVINO."""
    images = []
    for engine in (TorchEngine(case.network), OpenVINOEngine(case.network, threads=1, **settings)):
        images.append(engine.render(engine.prepare(case.source), engine.describe(case.motions), case.prior))
    return images[0], images[1]


def test_float32_is_the_reference(case, graphs):
    reference, fast = both(case, precision="float32", cache_directory=graphs)
    assert (fast - reference).abs().max() < 1e-3


@pytest.mark.skipif(native_precision() != "bfloat16", reason="this processor does not compute in bfloat16")
def test_bfloat16_is_near(case, graphs):
    reference, fast = both(case, precision="bfloat16", cache_directory=graphs)
    assert fast.dtype == torch.float32
    assert psnr(fast, reference).min() > 35  # random weights are harsher than trained ones


@pytest.mark.parametrize(("streams", "batch_size"), [(2, 1), (1, 2)])
def test_streams_and_batches_change_nothing(guided_case, graphs, streams, batch_size):
    settings = {"streams": streams, "batch_size": batch_size, "cache_directory": graphs}
    reference, fast = both(guided_case, precision="float32", **settings)
    assert (fast - reference).abs().max() < 1e-3


def test_two_portraits_take_turns(guided_case, graphs):
    case = guided_case
    reference = TorchEngine(case.network)
    engine = OpenVINOEngine(case.network, precision="float32", threads=1, cache_directory=graphs)
    sources = (case.source, -case.source.flip(3))
    descriptors = engine.describe(case.motions)
    portraits = [(engine.prepare(source), reference.prepare(source)) for source in sources]
    for fast, slow in (portraits[0], portraits[1], portraits[0]):
        expected = reference.render(slow, descriptors, case.prior)
        assert (engine.render(fast, descriptors, case.prior) - expected).abs().max() < 1e-3


def test_norms_are_mvn_and_nothing_else(guided_case, graphs):
    graph = cached_graph(guided_case.network, graphs, batch=1, height=64, width=64)
    kinds = [node.get_type_name() for node in graph.get_ops()]
    assert "GroupNormalization" not in kinds
    warping = 2 * 3 + 2 * 1 + 1  # two of each block (two of a decoder block's three share one), and before the flow
    editing = 1 + 1 + (1 + 2)
    assert kinds.count("MVN") == warping + editing


def test_a_graph_is_kept_and_taken_up(guided_case, graphs):
    sizes = {"batch": 1, "height": 64, "width": 64}
    network = guided_case.network
    cached_graph(network, graphs, **sizes)
    path = graph_path(network, graphs, **sizes)
    written = path.stat().st_mtime_ns
    cached_graph(network, graphs, **sizes)
    assert path.stat().st_mtime_ns == written
    assert path.with_suffix(".bin").is_file()
    assert graph_path(network, graphs, **(sizes | {"batch": 2})) != path
    with torch.no_grad():
        network.editing.last.bias.add_(0.1)
    assert graph_path(network, graphs, **sizes) != path


def test_a_damaged_graph_is_built_anew(guided_case, tmp_path, graphs):
    sizes = {"batch": 1, "height": 64, "width": 64}
    cached_graph(guided_case.network, graphs, **sizes)
    whole = graph_path(guided_case.network, graphs, **sizes)
    path = graph_path(guided_case.network, tmp_path, **sizes)
    path.write_bytes(whole.read_bytes()[:1000])
    path.with_suffix(".bin").write_bytes(whole.with_suffix(".bin").read_bytes())
    assert len(cached_graph(guided_case.network, tmp_path, **sizes).get_ops()) > 50
    assert path.stat().st_size > 1000


def test_refuses_what_it_cannot_do(guided_case):
    with pytest.raises(EngineError, match="streams is 0; it must be at least 1"):
        OpenVINOEngine(guided_case.network, streams=0)
    engine = OpenVINOEngine(guided_case.network)
    with pytest.raises(EngineError, match="the network is guided by a prior flow"):
        engine.render(engine.prepare(guided_case.source), engine.describe(guided_case.motions))
