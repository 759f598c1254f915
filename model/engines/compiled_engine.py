"""The network through torch.compile, and on CUDA replayed as CUDA graphs: the engine of GPUs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import structlog
import torch
from torch import Tensor

from model.engines.torch_engine import Precision, TorchEngine
from model.errors import EngineError
from model.renderer.network import PIRenderer, PortraitState

log = structlog.get_logger(__name__)

BATCH_SIZES = (1, 8, 32)
WARM_UP_RUNS = 3  # before a capture, so that kernels are chosen and workspaces allocated outside of it

Run = Callable[..., Tensor]
"""Images (B, 3, H, W) of source, warping_stem, editing_stem, descriptors (B, Z) and, if guided, prior flows."""


class CompiledEngine(TorchEngine):
    """Runs batches of a few fixed sizes, each compiled when it first comes; what fills up a batch is thrown away.

    The norms and what surrounds them are bound by memory, which is what compiling fuses; a light network at small
    batches is bound by launching kernels, which is what a graph saves. When either fails, the network runs as it is
    from then on, and the log says why.
    """

    def __init__(
        self,
        network: PIRenderer,
        *,
        device: str = "cuda",
        precision: Precision = "bfloat16",
        batch_sizes: tuple[int, ...] = BATCH_SIZES,
        cache_directory: Path | None = None,
    ) -> None:
        """Raises EngineError when this machine has no such device, or a batch size is not positive."""
        if not batch_sizes or min(batch_sizes) < 1:
            raise EngineError(f"batch_sizes are {batch_sizes}; allowed are numbers of at least 1")
        super().__init__(network, device=device, precision=precision)
        self.name = f"compiled-{device}-{precision}"
        self.batch_sizes = tuple(sorted(batch_sizes))
        self._runs: dict[tuple[int, ...], Run] = {}
        self._works = True
        if cache_directory is not None:  # where torch keeps what it compiled, read at the first compilation
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_directory / "inductor"))

    @torch.inference_mode()
    def render(self, portrait: PortraitState, descriptors: Tensor, prior_flow: Tensor | None = None) -> Tensor:
        """See `Engine.render`; the images stay on the device."""
        images = []
        start = 0
        while start < len(descriptors):
            left = len(descriptors) - start
            size = next((size for size in self.batch_sizes if size >= left), self.batch_sizes[-1])
            part = slice(start, start + size)
            images.append(
                self._batch(portrait, descriptors[part], None if prior_flow is None else prior_flow[part], size)
            )
            start += size
        return torch.cat(images)

    def _batch(self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None, size: int) -> Tensor:
        count = len(descriptors)
        if self._works:
            key = (size, *portrait.source.shape[2:])
            inputs = [portrait.source, portrait.warping_stem, portrait.editing_stem, _filled(descriptors, size)]
            if prior is not None:
                inputs.append(_filled(prior, size))
            inputs = [tensor.to(self._device) for tensor in inputs]
            try:
                if key not in self._runs:
                    self._runs[key] = self._compile(inputs)
                    log.info("engine compiled", engine=self.name, batch=key[0], height=key[1], width=key[2])
                return self._runs[key](*inputs)[:count].clone()
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever a compiler, its tools or a capture may raise
                self._works = False
                self._runs.clear()
                log.warning("engine falls back to the plain network", engine=self.name, reason=str(error).strip())
        return super().render(portrait, descriptors, prior)

    def _compile(self, inputs: list[Tensor]) -> Run:
        """Compile for the shapes of `inputs`; on CUDA, capture a graph too."""
        compiled: Run = torch.compile(self._images, dynamic=False)
        return _Graph(compiled, inputs) if self._device.type == "cuda" else compiled

    def _images(
        self, source: Tensor, warping_stem: Tensor, editing_stem: Tensor, z: Tensor, prior: Tensor | None = None
    ) -> Tensor:
        portrait = PortraitState(source, warping_stem, editing_stem)
        # Without its cache, autocast keeps nothing between runs that a graph would have to own.
        bfloat16 = self.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            return self.network.render(portrait, z, prior).image


class _Graph:
    """A run captured once and replayed: its inputs and its output stay where they were at the capture."""

    def __init__(self, run: Run, inputs: list[Tensor]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        self._given: list[Tensor | None] = [None] * len(inputs)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                run(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = run(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The output's own memory: the next call writes over it."""
        for index, tensor in enumerate(inputs):
            if tensor is not self._given[index]:  # a portrait's parts are the same from batch to batch
                self._inputs[index].copy_(tensor)
                self._given[index] = tensor
        self._graph.replay()
        return self._output


def _filled(rows: Tensor, size: int) -> Tensor:
    """The rows, the last one repeated until there are `size`."""
    if len(rows) == size:
        return rows
    return torch.cat((rows, rows[-1:].expand(size - len(rows), *rows.shape[1:])))
