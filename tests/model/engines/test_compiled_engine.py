import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch._inductor.config
from structlog.testing import capture_logs

from model.engines import EngineSettings, build_engine
from model.engines.compiled_engine import CompiledEngine, split
from model.engines.torch_engine import TorchEngine
from model.errors import EngineError
from model.metrics import psnr
from model.pictures import to_frames
from model.renderer import PIRenderer, RendererConfig


def images(engine, case):
    return engine.render(engine.prepare(case.source), engine.describe(case.motions), case.prior).image


def frames(engine, case):
    return engine.render_frames(engine.prepare(case.source), engine.describe(case.motions), case.prior)


def shallow(config: RendererConfig) -> PIRenderer:
    """A network with all parts of such a one, and each of them once: what is compiled is counted in seconds."""
    warping = config.warping.model_copy(update={"encoder_layers": 2, "decoder_layers": 1})
    return PIRenderer(config.model_copy(update={"warping": warping})).eval()


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (4, [1] * 4), (5, [8]), (8, [8]), (9, [8, 1]), (16, [8, 8]), (17, [32]), (70, [32, 32, 8])],
)
def test_batches_are_at_least_half_full(count, sizes):
    assert list(split(count, (1, 8, 32))) == sizes


def test_a_batch_below_the_smallest_size_is_filled_up():
    assert list(split(3, (2, 16))) == [2, 2]
    assert list(split(1, (16,))) == [16]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch's own, as it loads its compiler
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_is_the_reference_in_any_number_of_frames(doubtful_case):
    case = replace(doubtful_case, network=shallow(doubtful_case.network.config))
    engine = CompiledEngine(case.network, device="cpu", precision="float32", batch_sizes=(2,))
    # Scalar loops, compiled one by one: to find out by compiling which vectors there are takes as long as the rest.
    cheap = torch._inductor.config.patch({"cpp.vec_isa_ok": False, "compile_threads": 1})
    with capture_logs() as logs, cheap:
        fast = images(engine, case)  # three frames: a whole batch, and one that is filled up
    assert [line["event"] for line in logs] == ["engine compiled"], logs
    torch.testing.assert_close(fast, images(TorchEngine(case.network), case), atol=1e-3, rtol=0)
    made, expected = frames(engine, case), frames(TorchEngine(case.network), case)
    assert np.array_equal(made.images, to_frames(fast)), "bytes of the same pictures"
    np.testing.assert_allclose(made.masks, expected.masks, atol=1e-3)
    np.testing.assert_allclose(made.places, expected.places, atol=1e-3)


def test_falls_back_and_says_why(plain_case, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", broken)
    engine = CompiledEngine(plain_case.network, device="cpu", precision="float32", batch_sizes=(4,))
    with capture_logs() as logs:
        fast = images(engine, plain_case)
        images(engine, plain_case)
    assert [line["event"] for line in logs] == ["engine falls back to the plain network"], "once is enough"
    assert logs[0]["reason"] == "no compiler here"
    assert torch.equal(fast, images(TorchEngine(plain_case.network), plain_case))


@pytest.mark.parametrize("wrapped", [False, True])
def test_exhausted_memory_is_no_reason_to_fall_back(plain_case, monkeypatch, wrapped):
    def exhausted(*_, **__):
        try:
            raise torch.OutOfMemoryError("too much")
        finally:
            if wrapped:  # as when the end of a failed capture raises anew
                raise RuntimeError("operation failed due to a previous error during capture")

    engine = CompiledEngine(plain_case.network, device="cpu", precision="float32", batch_sizes=(1, 2, 4))
    monkeypatch.setattr(torch, "compile", exhausted)
    with capture_logs() as logs, pytest.raises(torch.OutOfMemoryError):
        images(engine, plain_case)  # three frames, so a batch of four
    assert engine.batch_sizes == (1, 2), "half of the batch is not filled up to the size that did not fit"
    assert not any("falls back" in line["event"] for line in logs)


def test_refuses_what_it_cannot_do(plain_case):
    with pytest.raises(EngineError, match=r"batch_sizes are \(0, 4\); allowed are numbers of at least 1"):
        CompiledEngine(plain_case.network, device="cpu", batch_sizes=(0, 4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(("precision", "decibels"), [("float32", 70), ("float16", 45), ("bfloat16", 35)])
def test_graphs_agree_with_the_cpu(case, precision, decibels):
    engine = build_engine(case.network, EngineSettings(device="cuda", precision=precision))
    assert engine.name == f"compiled-cuda-{precision}"
    with capture_logs() as logs:
        first, second = images(engine, case).cpu(), images(engine, case).cpu()
    assert not any("falls back" in line["event"] for line in logs)
    assert torch.equal(first, second)
    assert np.array_equal(frames(engine, case), to_frames(first))
    assert psnr(first, images(TorchEngine(case.network), case)).min() > decibels


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_graphs_read_the_portrait_and_the_frames_they_are_given(guided_case):
    engine = CompiledEngine(guided_case.network, precision="float32", batch_sizes=(1, 2))
    mirrored = replace(guided_case, source=guided_case.source.flip(3), motions=guided_case.motions.flip(0))
    for case in (guided_case, mirrored, guided_case):  # three frames: two graphs in one pool, used by turns
        assert psnr(images(engine, case).cpu(), images(TorchEngine(case.network), case)).min() > 70
