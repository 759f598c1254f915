"""Settings become an engine; `auto` takes the fastest that this machine has."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import structlog
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, PositiveInt

from model.engines.compiled_engine import CompiledEngine
from model.engines.eight_bits import EightBitCalibration
from model.engines.engine import Engine
from model.engines.torch_engine import Precision, TorchEngine
from model.errors import EngineError
from model.renderer.network import PIRenderer

log = structlog.get_logger(__name__)

AUTO = "auto"


def _known(engine: str) -> str:
    if engine not in ENGINE_NAMES:
        raise ValueError(f"engine is {engine!r}; allowed are {', '.join(map(repr, ENGINE_NAMES))}")
    return engine


class EngineSettings(BaseModel):
    """Which engine, where, and how it shares the machine.

    engine: one of ENGINES, or "auto", the first of them that is available on the device and can be made.
    device: "auto", "cpu", "cuda" or "cuda:N". precision: "auto" is the fastest that the device computes in and whose
    picture holds; "float16" is for CUDA devices; "int8" is OpenVINO's, and needs calibrated weights.
    threads, streams, batch_size: see OpenVINOEngine. cache_directory: compiled graphs are kept there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Annotated[str, AfterValidator(_known)] = AUTO
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    threads: PositiveInt | None = None
    streams: PositiveInt | None = None
    batch_size: PositiveInt = 1
    cache_directory: Path | None = None


def build_engine(
    network: PIRenderer, settings: EngineSettings | None = None, *, calibration: EightBitCalibration | None = None
) -> Engine:
    """The engine that `settings` ask for, around a copy of the network; `calibration` is that of its weights.

    Raises EngineError: the engine, device or precision was asked for by name and this machine or these weights lack it.
    """
    settings = settings or EngineSettings()
    device = _device(settings)
    names = [settings.engine]
    if settings.engine == AUTO:
        names = [name for name, choice in ENGINES.items() if choice.available(device)]
    for name, instead in zip(names, [*names[1:], None], strict=True):
        try:
            engine = ENGINES[name].make(network, settings, device, calibration)
        except EngineError as error:
            if instead is None:
                raise
            log.warning(f"engine falls back to {instead}", wanted=name, reason=str(error.__cause__ or error))
        else:
            break
    log.info("engine", name=engine.name)
    return engine


def _device(settings: EngineSettings) -> str:
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and settings.engine != "openvino" else "cpu"
    if settings.precision == "float16" and device == "cpu":
        raise EngineError(
            "precision 'float16' is for CUDA devices; on device 'cpu' 'float32' and 'bfloat16' would work"
        )
    return device


def _openvino(
    network: PIRenderer, settings: EngineSettings, device: str, calibration: EightBitCalibration | None
) -> Engine:
    if device != "cpu":
        raise EngineError(f"engine 'openvino' runs on the CPU; device is {device!r}, allowed are 'auto' and 'cpu'")
    try:
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
    except (ImportError, RuntimeError, EngineError) as error:
        raise EngineError(f"engine 'openvino' is not available: {error}; 'torch' would work") from error


def _compiled(network: PIRenderer, settings: EngineSettings, device: str, _: EightBitCalibration | None) -> Engine:
    precision = _torch_precision(settings, device)
    engine = CompiledEngine(network, device=device, precision=precision, cache_directory=settings.cache_directory)
    _set_threads(settings, device)
    return engine


def _torch(network: PIRenderer, settings: EngineSettings, device: str, _: EightBitCalibration | None) -> Engine:
    engine = TorchEngine(network, device=device, precision=_torch_precision(settings, device))
    _set_threads(settings, device)
    return engine


def _torch_precision(settings: EngineSettings, device: str) -> Precision:
    if settings.precision == "int8":
        raise EngineError(
            f"precision 'int8' is for engine 'openvino' on a CPU; here are engine {settings.engine!r} and device "
            f"{device!r}, for which 'float32' and 'bfloat16' would work"
        )
    if settings.precision == "auto":
        return "bfloat16" if device != "cpu" else "float32"
    return settings.precision


def _set_threads(settings: EngineSettings, device: str) -> None:
    if device == "cpu" and settings.threads is not None:
        torch.set_num_threads(settings.threads)


class Choice(NamedTuple):
    """An engine to choose: whether "auto" may take it on a device, and how it is made for one."""

    available: Callable[[str], bool]
    make: Callable[[PIRenderer, EngineSettings, str, EightBitCalibration | None], Engine]


ENGINES = {
    "openvino": Choice(lambda device: device == "cpu", _openvino),
    "compiled": Choice(lambda device: device != "cpu", _compiled),
    "torch": Choice(lambda device: device == "cpu", _torch),
}
"""The fastest first."""

ENGINE_NAMES = (AUTO, *ENGINES)
