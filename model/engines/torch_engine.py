"""The network as it is: the reference on the CPU, and what is left on CUDA devices when compiling fails."""

import copy
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor
from torch.backends import cudnn

from model.engines.engine import Engine, Rendering
from model.errors import EngineError
from model.renderer.network import PIRenderer, PortraitState, RendererOutput

Precision = Literal["float32", "bfloat16", "float16"]


def exact(*, choose: bool = False) -> AbstractContextManager[None]:
    """Convolutions of float32 on CUDA in float32, for which cuDNN would take TF32, with a mantissa of ten bits.

    With `choose` cuDNN times its kernels for each new shape and keeps the fastest.
    """
    return cudnn.flags(enabled=True, benchmark=choose, allow_tf32=False)


def rendering(output: RendererOutput) -> Rendering:
    """What of a network's output an engine hands on."""
    if output.read is None:
        return Rendering(output.image)
    return Rendering(output.image, output.read, output.places)


class TorchEngine(Engine):
    """Runs a copy of the network on `device`; lower precisions are autocast: norms and warping stay float32."""

    def __init__(self, network: PIRenderer, *, device: str = "cpu", precision: Precision = "float32") -> None:
        """Raises EngineError when this machine has no such device."""
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineError(
                f"device is {device!r}, and torch finds no CUDA device here; allowed are 'auto' and 'cpu'"
            )
        network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False).to(device)
        if device != "cpu":
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(network, name=f"torch-{device}-{precision}")
        self.precision = precision

    def describe(self, motions: Tensor) -> Tensor:
        """See `Engine.describe`; in float32."""
        with exact():
            return super().describe(motions)

    def prepare(self, source: Tensor) -> PortraitState:
        """See `Engine.prepare`; in float32."""
        with exact():
            return super().prepare(source)

    @torch.inference_mode()
    def render(self, portrait: PortraitState, descriptors: Tensor, prior: Tensor | None = None) -> Rendering:
        """See `Engine.render`; everything stays on the device."""
        prior = None if prior is None else prior.to(self.device)
        with exact(), self._autocast():
            return rendering(self.network.render(portrait, descriptors.to(self.device), prior))

    def _autocast(self) -> torch.autocast:
        """Without its cache, autocast keeps nothing between runs that a CUDA graph would have to own."""
        low = self.precision != "float32"
        dtype = torch.float16 if self.precision == "float16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=low, cache_enabled=False)
