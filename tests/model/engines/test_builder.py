import builtins
import sys

import pytest
import torch
from pydantic import ValidationError
from structlog.testing import capture_logs

from model.engines import EngineSettings, build_engine
from model.errors import EngineError

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="written for a machine without CUDA")


def test_auto_takes_openvino_on_a_cpu(plain_case):
    assert build_engine(plain_case.network).name.startswith("openvino-cpu-")


def test_engines_by_name(plain_case):
    network = plain_case.network
    assert build_engine(network, EngineSettings(engine="torch")).name == "torch-cpu-float32"
    named = build_engine(network, EngineSettings(engine="openvino", precision="float32", threads=1))
    assert named.name == "openvino-cpu-float32"


@pytest.fixture
def without_openvino(monkeypatch):
    """As on a machine where the package is not installed."""
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == "openvino":
            raise ImportError("No module named 'openvino'")
        return real(name, *args, **kwargs)

    for name in ("model.engines.openvino_engine", "model.engines.openvino_graph"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.usefixtures("without_openvino")
def test_falls_back_and_says_why(plain_case):
    with capture_logs() as logs:
        engine = build_engine(plain_case.network)
    assert engine.name == "torch-cpu-float32"
    assert {"wanted": "openvino", "reason": "No module named 'openvino'"}.items() <= logs[0].items()


@pytest.mark.usefixtures("without_openvino")
def test_an_engine_asked_for_by_name_is_not_replaced(plain_case):
    with pytest.raises(
        EngineError, match="'openvino' is not available: No module named 'openvino'; 'torch' would work"
    ):
        build_engine(plain_case.network, EngineSettings(engine="openvino"))


def test_refuses_what_this_machine_lacks(plain_case):
    with pytest.raises(EngineError, match="'openvino' runs on the CPU; device is 'cuda'"):
        build_engine(plain_case.network, EngineSettings(engine="openvino", device="cuda"))
    with pytest.raises(EngineError, match="no CUDA device here"):
        build_engine(plain_case.network, EngineSettings(device="cuda"))
    with pytest.raises(
        EngineError, match="'cuda:1', and torch finds no CUDA device here; allowed are 'auto' and 'cpu'"
    ):
        build_engine(plain_case.network, EngineSettings(engine="compiled", device="cuda:1"))
    for engine in ("auto", "torch", "compiled", "openvino"):
        with pytest.raises(
            EngineError, match="'float16' is for CUDA devices; on device 'cpu' 'float32' and 'bfloat16' w"
        ):
            build_engine(plain_case.network, EngineSettings(engine=engine, precision="float16"))
    with pytest.raises(ValidationError, match="engine"):
        EngineSettings(engine="tensorrt")
