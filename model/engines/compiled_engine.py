"""The network through torch.compile, and on CUDA replayed as CUDA graphs: the engine of GPUs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import structlog
import torch
from torch import Tensor

from model.engines.engine import RenderedFrames, Rendering
from model.engines.graph import CapturedRun, GraphMemory, to_host
from model.engines.torch_engine import Precision, TorchEngine, exact, rendering
from model.errors import EngineError
from model.pictures import to_levels
from model.renderer.network import PIRenderer, PortraitState

log = structlog.get_logger(__name__)

BATCH_SIZES = (1, 8, 32)
COMPILATIONS = 256  # of one function and in all, which torch would stop at 8: a size, a precision, an engine each

Forward = Callable[..., tuple[Tensor, ...]]
"""Images (B, 3, H, W), the same as bytes (B, H, W, 3) and, if guided, masks and places as in `Rendering`, of source,
warping_stem, editing_stem, descriptors (B, Z) and, if guided, priors."""


class CompiledEngine(TorchEngine):
    """Runs batches of a few fixed sizes, each compiled when it first comes; what fills up a batch is thrown away.

    The norms and what surrounds them are bound by memory, which is what compiling fuses; a light network at small
    batches is bound by launching kernels, which is what a graph saves. The graphs are captured here and not by
    torch.compile's "reduce-overhead": shapes, inputs and outputs never change, so nothing of what that mode keeps track
    of is needed. When either fails, the network runs as it is from then on, and the log says why.
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
        self._runs: dict[tuple[int, ...], Forward] = {}
        self._memory: GraphMemory | None = None
        self._works = True
        if cache_directory is not None:  # where torch keeps what it compiled, read at the first compilation
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_directory / "inductor"))

    @torch.inference_mode()
    def render(self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None = None) -> Rendering:
        """See `Engine.render`; everything stays on the device."""
        parts = [
            [tensor.clone() for tensor in (images, *more)]
            for images, _, *more in self._batches(portrait, descriptors, prior)
        ]
        return Rendering(*map(torch.cat, zip(*parts, strict=True)))

    @torch.inference_mode()
    def render_frames(
        self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None = None
    ) -> RenderedFrames:
        """See `Engine.render_frames`; pictures become bytes before they leave the device."""
        parts = [to_host(*tensors) for _, *tensors in self._batches(portrait, descriptors, prior)]
        levels, *more = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        if not more:
            return RenderedFrames(levels)
        masks, places = more
        return RenderedFrames(levels, masks[:, 0], places)

    def _batches(
        self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None
    ) -> Iterator[tuple[Tensor, ...]]:
        """What a `Forward` gives, batch by batch; the next batch may be written over it."""
        start = 0
        for size in split(len(descriptors), self.batch_sizes):
            part = slice(start, start + size)
            yield self._batch(portrait, descriptors[part], None if prior is None else prior[part], size)
            start += size

    def _batch(
        self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None, size: int
    ) -> tuple[Tensor, ...]:
        if self._works:
            inputs = [portrait.source, portrait.warping_stem, portrait.editing_stem, _filled(descriptors, size)]
            if prior is not None:
                inputs.append(_filled(prior, size))
            try:
                return tuple(tensor[: len(descriptors)] for tensor in self._run(inputs)(*inputs))
            except Exception as error:  # whatever a compiler, its tools or a capture may raise
                if _exhausted(error):
                    self._do_without(size)
                    raise torch.OutOfMemoryError(str(error)) from error
                self._works = False
                self._runs.clear()
                log.warning("engine falls back to the plain network", engine=self.name, reason=str(error).strip())
        return _outputs(super().render(portrait, descriptors, prior))

    def _run(self, inputs: list[Tensor]) -> Forward:
        """What was compiled for the shapes of `inputs` and, on CUDA, captured as a graph."""
        source, descriptors = inputs[0], inputs[3]
        key = (len(descriptors), *source.shape[2:])
        if key not in self._runs:
            compiled: Forward = torch.compile(self._pictures, dynamic=False, fullgraph=True)
            on_device = [tensor.to(self.device) for tensor in inputs]
            limits = {"recompile_limit": COMPILATIONS, "accumulated_recompile_limit": COMPILATIONS}
            with torch._dynamo.config.patch(limits), exact(choose=True):
                if self.device.type == "cuda":
                    self._memory = self._memory or GraphMemory(self.device)
                    self._runs[key] = CapturedRun(compiled, on_device, self._memory)
                else:
                    compiled(*on_device)
                    self._runs[key] = compiled
            log.info("engine compiled", engine=self.name, batch=key[0], height=key[1], width=key[2])
        return self._runs[key]

    def _do_without(self, size: int) -> None:
        """Leave out batches of `size` and more, if there are smaller ones: a smaller batch is then truly smaller."""
        self.batch_sizes = tuple(other for other in self.batch_sizes if other < size) or self.batch_sizes[:1]
        self._runs = {key: run for key, run in self._runs.items() if key[0] < size}

    def _pictures(
        self, source: Tensor, warping_stem: Tensor, editing_stem: Tensor, z: Tensor, prior: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        portrait = PortraitState(source, warping_stem, editing_stem)
        with self._autocast():
            return _outputs(rendering(self.network.render(portrait, z, prior)))


def _outputs(drawn: Rendering) -> tuple[Tensor, ...]:
    more = () if drawn.mask is None or drawn.places is None else (drawn.mask, drawn.places)
    return drawn.image, to_levels(drawn.image), *more


def split(count: int, sizes: tuple[int, ...]) -> Iterator[int]:
    """Sizes, out of ascending `sizes`, of the batches that `count` frames make.

    Only the last may be larger than what is left for it, and is then more than half full, or of the smallest size.
    """
    while count > 0:
        size = max((size for size in sizes if size <= count), default=sizes[0])
        enough = min((size for size in sizes if size >= count), default=size)
        if 2 * count > enough:
            size = enough
        yield size
        count -= size


def _exhausted(error: BaseException | None) -> bool:
    """Whether memory ran out: torch wraps what compiling raises, and ending a failed capture raises anew."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _filled(rows: Tensor, size: int) -> Tensor:
    """The rows, the last one repeated until there are `size`."""
    if len(rows) == size:
        return rows
    return torch.cat((rows, rows[-1:].expand(size - len(rows), *rows.shape[1:])))
