import pytest
import torch

from model.engines import EngineSettings
from model.errors import EngineError
from model.evaluation.engines.profiling import peak_tflops, profile
from model.evaluation.engines.subjects import Subject
from model.evaluation.renderer.cost import count_flops

PLAIN = EngineSettings(engine="torch", device="cpu", precision="float32")


@pytest.mark.slow
def test_tells_kernels_and_share_of_peak(case):
    found = profile(Subject(case.network, "made"), PLAIN, batch_size=2, runs=2, size=64, top=5)
    assert (found["engine"], found["batch_size"]) == ("torch-cpu-float32", 2)
    flops = count_flops(case.network, size=64)["frame"]
    assert found["tflops"] == pytest.approx(found["frames_per_second"] * flops / 1e12, abs=1e-4)
    assert 0 < found["share_of_peak"] < 1
    assert 0 < found["busy"] <= 1
    shares = [kernel["share"] for kernel in found["kernels"]]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1
    assert any("conv" in kernel["name"] for kernel in found["kernels"])


def test_refuses_what_it_cannot_measure(plain_case):
    subject = Subject(plain_case.network, "made")
    with pytest.raises(
        EngineError, match="'openvino-cpu-float32', which torch cannot profile; 'torch' and 'compiled' w"
    ):
        profile(subject, EngineSettings(engine="openvino", precision="float32", threads=1))
    with pytest.raises(ValueError, match="runs is 0; it must be at least 1"):
        profile(subject, PLAIN, runs=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_peak_of_low_precision_is_above_that_of_float32():
    device = torch.device("cuda")
    assert peak_tflops(device, torch.bfloat16) > peak_tflops(device, torch.float32)
