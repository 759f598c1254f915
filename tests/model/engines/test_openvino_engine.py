import numpy as np
import pytest
import torch

from model.engines.openvino_engine import OpenVINOEngine, native_precision
from model.engines.openvino_graph import build_graph
from model.engines.torch_engine import TorchEngine
from model.errors import EngineError
from model.metrics import psnr


def both(case, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of the reference and of OpenVINO."""
    images = []
    for engine in (TorchEngine(case.network), OpenVINOEngine(case.network, threads=1, **settings)):
        images.append(engine.render(engine.prepare(case.source), engine.describe(case.motions), case.prior))
    return images[0], images[1]


def test_float32_is_the_reference(case):
    reference, fast = both(case, precision="float32")
    assert (fast - reference).abs().max() < 1e-3


@pytest.mark.skipif(native_precision() != "bfloat16", reason="this processor does not compute in bfloat16")
def test_bfloat16_is_near(case):
    reference, fast = both(case, precision="bfloat16")
    assert fast.dtype == torch.float32
    assert psnr(fast, reference).min() > 35  # random weights are harsher than trained ones


@pytest.mark.parametrize(("streams", "batch_size"), [(2, 1), (1, 2)])
def test_streams_and_batches_change_nothing(guided_case, streams, batch_size):
    reference, fast = both(guided_case, precision="float32", streams=streams, batch_size=batch_size)
    assert (fast - reference).abs().max() < 1e-3


def test_two_portraits_take_turns(guided_case):
    case = guided_case
    reference, engine = TorchEngine(case.network), OpenVINOEngine(case.network, precision="float32", threads=1)
    sources = (case.source, -case.source.flip(3))
    descriptors = engine.describe(case.motions)
    portraits = [(engine.prepare(source), reference.prepare(source)) for source in sources]
    for fast, slow in (portraits[0], portraits[1], portraits[0]):
        expected = reference.render(slow, descriptors, case.prior)
        assert (engine.render(fast, descriptors, case.prior) - expected).abs().max() < 1e-3


def test_norms_are_mvn_and_nothing_else(guided_case):
    kinds = [node.get_type_name() for node in build_graph(guided_case.network, batch=1, height=64, width=64).get_ops()]
    assert "GroupNormalization" not in kinds
    norms = (
        2 * 5 + 2 * 3 + 1 + 1 + 3 + 3 * (2 + 2)
    )  # an hourglass' two per block share one, then layer norms, then U-net
    assert kinds.count("MVN") == norms


def test_the_graph_is_kept_and_taken_up(guided_case, tmp_path):
    case = guided_case
    engines = [OpenVINOEngine(case.network, precision="float32", threads=1, cache_directory=tmp_path) for _ in range(2)]
    first = engines[0].render(engines[0].prepare(case.source), engines[0].describe(case.motions), case.prior)
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("renderer-*")}
    assert {path.rsplit(".")[-1] for path in written} == {"xml", "bin"}
    second = engines[1].render(engines[1].prepare(case.source), engines[1].describe(case.motions), case.prior)
    assert np.allclose(first, second, atol=1e-6)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("renderer-*")} == written
    with torch.no_grad():
        case.network.editing.last.bias.add_(0.1)
    other = OpenVINOEngine(case.network, precision="float32", threads=1, cache_directory=tmp_path)
    changed = other.render(other.prepare(case.source), other.describe(case.motions), case.prior)
    assert (changed - first).abs().max() > 0.01, "other weights must not find this graph"


def test_refuses_what_it_cannot_do(guided_case):
    with pytest.raises(EngineError, match="streams is 0; it must be at least 1"):
        OpenVINOEngine(guided_case.network, streams=0)
    engine = OpenVINOEngine(guided_case.network)
    with pytest.raises(EngineError, match="the network is guided by a prior flow"):
        engine.render(engine.prepare(guided_case.source), engine.describe(guided_case.motions))
