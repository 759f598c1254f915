from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from model.engines.engine import Rendering
from model.engines.openvino_engine import OpenVINOEngine, native_precision
from model.engines.openvino_graph import build_graph, style_layers, styles
from model.engines.torch_engine import TorchEngine
from model.errors import EngineError
from model.metrics import psnr


def renderings(case, **settings) -> tuple[Rendering, Rendering]:
    """What the reference and OpenVINO make of a case."""
    engines = TorchEngine(case.network), OpenVINOEngine(case.network, threads=1, **settings)
    reference, fast = (e.render(e.prepare(case.source), e.describe(case.motions), case.prior) for e in engines)
    return reference, fast


def both(case, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of the reference and of OpenVINO."""
    reference, fast = renderings(case, **settings)
    return reference.image, fast.image


def test_float32_is_the_reference(case):
    reference, fast = renderings(case, precision="float32")
    assert (fast.image - reference.image).abs().max() < 1e-3
    for name in ("mask", "places"):
        ours, theirs = getattr(fast, name), getattr(reference, name)
        assert (ours is None) == (theirs is None) == (not case.network.config.guided)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


@pytest.mark.skipif(native_precision() != "bfloat16", reason="this processor does not compute in bfloat16")
def test_bfloat16_is_near(case):
    reference, fast = both(case, precision="bfloat16")
    assert fast.dtype == torch.float32
    assert psnr(fast, reference).min() > 50


@pytest.mark.parametrize(("streams", "batch_size"), [(2, 1), (1, 2)])
def test_streams_and_batches_change_nothing(guided_case, streams, batch_size):
    settings = {"streams": streams, "batch_size": batch_size}
    reference, fast = both(guided_case, precision="float32", **settings)
    assert (fast - reference).abs().max() < 1e-3


def test_streams_are_as_many_as_threads(plain_case):
    for threads, streams in ((1, 1), (3, 3), (64, 8)):
        assert OpenVINOEngine(plain_case.network, threads=threads).streams == streams


def test_for_low_latency_all_threads_work_on_one_picture(guided_case):
    case = guided_case
    engine = OpenVINOEngine(case.network, precision="float32", threads=2)
    alone = engine.low_latency
    assert (engine.streams, alone.streams) == (2, 1)
    assert alone is engine.low_latency is alone.low_latency
    portrait, descriptors = engine.prepare(case.source), engine.describe(case.motions)
    expected = engine.render(portrait, descriptors, case.prior).image
    assert (alone.render(portrait, descriptors, case.prior).image - expected).abs().max() < 1e-3
    assert torch.equal(engine.render(portrait, descriptors, case.prior).image, expected), "and the engine is as it was"


def test_two_portraits_take_turns(guided_case):
    case = guided_case
    reference = TorchEngine(case.network)
    engine = OpenVINOEngine(case.network, precision="float32", threads=1)
    sources = (case.source, -case.source.flip(3))
    descriptors = engine.describe(case.motions)
    portraits = [(engine.prepare(source), reference.prepare(source)) for source in sources]
    for fast, slow in (portraits[0], portraits[1], portraits[0]):
        expected = reference.render(slow, descriptors, case.prior).image
        assert (engine.render(fast, descriptors, case.prior).image - expected).abs().max() < 1e-3


def test_the_graph_has_no_work_to_spare(guided_case):
    kinds = Counter(
        op.get_type_name() for op in build_graph(guided_case.network, batch=1, height=64, width=64).get_ops()
    )
    warping = (
        2 * 3 + 2 * 1 + 1
    )  # two norms of each block (two of a decoder block's three share one), and before the flow
    editing = 1 + 1 + (1 + 2)
    assert kinds["MVN"] == warping + editing
    convolutions = [m for m in guided_case.network.modules() if isinstance(m, nn.Conv2d)]
    assert kinds["Convolution"] == len(convolutions) - 1
    assert kinds["ConvolutionBackpropData"] == 2 * 1 + 1, "two of a warping decoder block, one that enlarges"
    assert kinds["GridSample"] == 2 + 1, "a flow is enlarged only where it is smaller than the picture"
    assert kinds["Interpolate"] == 0
    assert kinds["MatMul"] == 0


def test_styles_are_what_the_norms_compute(guided_case):
    torch.manual_seed(1)
    z = torch.randn(2, 16)
    columns = styles(guided_case.network, z)
    layer = style_layers(guided_case.network)[0]
    channels = layer.affine.out_features // 2
    x = torch.randn(2, channels, 8, 8)
    scale, shift = columns[:, :channels, None, None], columns[:, channels : 2 * channels, None, None]
    torch.testing.assert_close(F.instance_norm(x) * scale + shift, layer(x, z), atol=1e-5, rtol=1e-5)


def test_compiled_graphs_are_kept(guided_case, tmp_path):
    for _ in range(2):
        both(guided_case, precision="float32", cache_directory=tmp_path)
        assert len(list(tmp_path.glob("*.blob"))) == 1, "the second engine takes up what the first has compiled"
    with torch.no_grad():
        guided_case.network.editing.last.bias.add_(0.1)
    reference, fast = both(guided_case, precision="float32", cache_directory=tmp_path)
    assert (fast - reference).abs().max() < 1e-3, "other weights must not find this graph"


def test_refuses_what_it_cannot_do(guided_case):
    with pytest.raises(EngineError, match="streams is 0; it must be at least 1"):
        OpenVINOEngine(guided_case.network, streams=0)
    engine = OpenVINOEngine(guided_case.network)
    with pytest.raises(EngineError, match="the network is guided by a prior"):
        engine.render(engine.prepare(guided_case.source), engine.describe(guided_case.motions))
