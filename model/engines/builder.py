"""Settings become an engine; `auto` takes the fastest that this machine has."""

from pathlib import Path
from typing import Literal

import structlog
import torch
from pydantic import BaseModel, ConfigDict, PositiveInt

from model.engines.calibration import Calibration
from model.engines.compiled_engine import CompiledEngine
from model.engines.engine import Engine
from model.engines.torch_engine import TorchEngine
from model.errors import EngineError
from model.renderer.network import PIRenderer

log = structlog.get_logger(__name__)


class EngineSettings(BaseModel):
    """Which engine, where, and how it shares the machine.

    engine: "auto" is compiled on a CUDA device, OpenVINO on a CPU, and torch, the plain network, where that fails.
    device: "auto", "cpu", "cuda" or "cuda:N". precision: "auto" is the fastest that the device computes in and whose
    picture holds; "float16" is for CUDA devices; "int8" is OpenVINO's, and needs calibrated weights.
    threads, streams, batch_size: see OpenVINOEngine. cache_directory: compiled graphs are kept there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["auto", "torch", "compiled", "openvino"] = "auto"
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    threads: PositiveInt | None = None
    streams: PositiveInt | None = None
    batch_size: PositiveInt = 1
    cache_directory: Path | None = None


def build_engine(
    network: PIRenderer, settings: EngineSettings | None = None, *, calibration: Calibration | None = None
) -> Engine:
    """The engine that `settings` ask for, around a copy of the network; `calibration` is that of its weights.

    Raises:
        EngineError: the engine, device or precision was asked for by name and this machine or these weights lack it.
    """
    settings = settings or EngineSettings()
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and settings.engine != "openvino" else "cpu"
    if settings.precision == "float16" and device == "cpu":
        raise EngineError(
            "precision 'float16' is for CUDA devices; on device 'cpu' 'float32' and 'bfloat16' would work"
        )
    if settings.engine == "openvino" and device != "cpu":
        raise EngineError(f"engine 'openvino' runs on the CPU; device is {device!r}, allowed are 'auto' and 'cpu'")
    if settings.engine == "openvino" or (settings.engine == "auto" and device == "cpu"):
        try:
            engine = _openvino(network, settings, calibration)
        except (ImportError, RuntimeError, EngineError) as error:
            if settings.engine == "openvino":
                raise EngineError(f"engine 'openvino' is not available: {error}; 'torch' would work") from error
            log.warning("engine falls back to torch", wanted="openvino", reason=str(error))
        else:
            log.info("engine", name=engine.name)
            return engine
    precision = settings.precision
    if precision == "int8":
        raise EngineError(
            f"precision 'int8' is for engine 'openvino' on a CPU; here are engine {settings.engine!r} and device "
            f"{device!r}, for which 'float32' and 'bfloat16' would work"
        )
    if precision == "auto":
        precision = "bfloat16" if device != "cpu" else "float32"
    if settings.engine == "compiled" or (settings.engine == "auto" and device != "cpu"):
        engine = CompiledEngine(network, device=device, precision=precision, cache_directory=settings.cache_directory)
    else:
        engine = TorchEngine(network, device=device, precision=precision)
    if device == "cpu" and settings.threads is not None:
        torch.set_num_threads(settings.threads)
    log.info("engine", name=engine.name)
    return engine


def _openvino(network: PIRenderer, settings: EngineSettings, calibration: Calibration | None) -> Engine:
    from model.engines.openvino_engine import OpenVINOEngine  # noqa: PLC0415 - an optional package

    return OpenVINOEngine(
        network,
        precision=settings.precision,  # type: ignore[arg-type]  # float16 has been refused
        calibration=calibration,
        threads=settings.threads,
        streams=settings.streams,
        batch_size=settings.batch_size,
        cache_directory=settings.cache_directory,
    )
