"""The network on the CPU through OpenVINO: fused kernels in float32, bfloat16 or eight bits."""

import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino
import structlog
import torch
from torch import Tensor

from model.engines.eight_bits import EightBitCalibration
from model.engines.engine import Engine, Rendering
from model.engines.openvino_graph import build_graph, styles
from model.errors import EngineError
from model.machine import available_cores
from model.renderer.network import PIRenderer, PortraitState

log = structlog.get_logger(__name__)

OpenVINOPrecision = Literal["float32", "bfloat16", "int8"]

MOST_STREAMS = 8
"""The frames that a worker hands over at once; more streams than that would find nothing to do."""

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def native_precision() -> Literal["float32", "bfloat16"]:
    """bfloat16 where the processor computes in it, else float32."""
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in capabilities else "float32"


def multiplies_eight_bits() -> bool:
    """Whether the processor has instructions for products of eight-bit numbers; without them they gain nothing."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def best_precision(calibration: EightBitCalibration | None) -> OpenVINOPrecision:
    """The fastest that this processor has and whose picture holds."""
    if calibration is not None and calibration.good and multiplies_eight_bits():
        return "int8"
    return native_precision()


class OpenVINOEngine(Engine):
    """Compiles a graph per image size and batch size, when the first batch of that size comes.

    threads: of the processor, all when None. streams: how many batches are under way at once, the threads being shared
    out among them; when None, as many as threads, up to MOST_STREAMS: a thread that works alone waits for nobody.
    batch_size: frames per run of the graph; what is left of a batch runs frame by frame.
    precision "int8" rounds most convolutions to eight bits, as `calibration` says, and computes the rest in
    `native_precision`; "auto" is `best_precision`.
    """

    def __init__(
        self,
        network: PIRenderer,
        *,
        precision: OpenVINOPrecision | Literal["auto"] = "auto",
        calibration: EightBitCalibration | None = None,
        threads: int | None = None,
        streams: int | None = None,
        batch_size: int = 1,
        cache_directory: Path | None = None,
    ) -> None:
        """Raises EngineError when a number is not positive, or int8 is asked for without a calibration."""
        for name, value in (("threads", threads), ("streams", streams), ("batch_size", batch_size)):
            if value is not None and value < 1:
                raise EngineError(f"{name} is {value}; it must be at least 1")
        self.precision: OpenVINOPrecision = best_precision(calibration) if precision == "auto" else precision
        if self.precision == "int8" and calibration is None:
            raise EngineError(
                "precision is 'int8', and these weights have no calibration: `pirenderer weights calibrate` makes it; "
                "'bfloat16' and 'float32' would work"
            )
        network = copy.deepcopy(network).cpu().eval().requires_grad_(requires_grad=False)
        super().__init__(network, name=f"openvino-cpu-{self.precision}")
        self.streams = streams or min(threads or available_cores(), MOST_STREAMS)
        self.batch_size = batch_size
        self._properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[native_precision() if self.precision == "int8" else self.precision],
            "NUM_STREAMS": self.streams,
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
            **({"CACHE_DIR": str(cache_directory)} if cache_directory else {}),
        }
        self._ranges = calibration.ranges if self.precision == "int8" and calibration else {}
        self._queues: dict[tuple[int, int, int], Any] = {}
        self._loaded: dict[tuple[int, int, int], PortraitState] = {}

    @cached_property
    def low_latency(self) -> "OpenVINOEngine":
        """All threads work on one picture, by a graph of its own, which takes some 60 MiB."""
        if self.streams == 1:
            return self
        engine = copy.copy(self)
        engine.streams, engine._properties = 1, {**self._properties, "NUM_STREAMS": 1}
        engine._queues, engine._loaded = {}, {}
        return engine

    @torch.inference_mode()
    def render(self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None = None) -> Rendering:
        """See `Engine.render`."""
        if self.network.config.guided != (prior is not None):
            raise EngineError(f"the network is {'' if self.network.config.guided else 'not '}guided by a prior")
        count = len(descriptors)
        parameters = styles(self.network, descriptors).numpy()
        height, width = portrait.source.shape[2:]
        outputs = {"image": np.empty((count, 3, height, width), np.float32)}
        if prior is not None:
            outputs["mask"] = np.empty((count, 1, height, width), np.float32)
            outputs["places"] = np.empty((count, height, width, 2), np.float32)
        whole = count - count % self.batch_size
        batches = [(start, self.batch_size) for start in range(0, whole, self.batch_size)]
        batches += [(start, 1) for start in range(whole, count)]
        for size in {size for _, size in batches}:
            queue = self._queue(portrait, size)
            for start in (start for start, length in batches if length == size):
                stop = start + size
                inputs = {"styles": parameters[start:stop]}
                if prior is not None:
                    inputs["prior"] = prior[start:stop].float().contiguous().numpy()
                queue.start_async(inputs, (outputs, start, stop))
            queue.wait_all()
        return Rendering(**{name: torch.from_numpy(values) for name, values in outputs.items()})

    def _queue(self, portrait: PortraitState, batch: int) -> Any:
        """The compiled graph's requests, holding this portrait."""
        height, width = portrait.source.shape[2:]
        key = (batch, height, width)
        if key not in self._queues:
            graph = build_graph(self.network, batch=batch, height=height, width=width, ranges=self._ranges)
            compiled = openvino.Core().compile_model(graph, "CPU", self._properties)
            queue = openvino.AsyncInferQueue(compiled, self.streams)
            queue.set_callback(_store)
            self._queues[key] = queue
            log.info("engine compiled", engine=self.name, batch=batch, height=height, width=width, streams=self.streams)
        if self._loaded.get(key) is not portrait:
            parts = {
                "source": portrait.source,
                "warping_stem": portrait.warping_stem.permute(0, 2, 3, 1),
                "editing_stem": portrait.editing_stem.permute(0, 2, 3, 1),
            }
            for request in self._queues[key]:
                for name, part in parts.items():
                    request.set_tensor(name, openvino.Tensor(part.float().contiguous().numpy()))
            self._loaded[key] = portrait
        return self._queues[key]


def _store(request: Any, place: tuple[dict[str, Any], int, int]) -> None:
    """Called when a request is done: keeps its results where the batch wants them."""
    outputs, start, stop = place
    for name, values in outputs.items():
        values[start:stop] = request.get_tensor(name).data
