"""The network as it is: the reference on the CPU, and the engine of CUDA devices."""

import copy
from typing import Literal

import torch
from torch import Tensor

from model.engines.engine import Engine
from model.errors import EngineError
from model.renderer.network import PIRenderer, PortraitState

Precision = Literal["float32", "bfloat16"]


class TorchEngine(Engine):
    """Runs a copy of the network on `device`; bfloat16 is autocast, so norms' statistics and warping stay float32."""

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

    @torch.inference_mode()
    def render(self, portrait: PortraitState, descriptors: Tensor, prior_flow: Tensor | None = None) -> Tensor:
        """See `Engine.render`; the images stay on the device."""
        device = self._device
        prior = None if prior_flow is None else prior_flow.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            return self.network.render(portrait, descriptors.to(device), prior).image
