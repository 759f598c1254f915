"""Exponential moving average of a network's weights."""

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


class Ema(Generic[M]):
    """Averaged copy of `module`; its decay halves a weight's share every `half_life_steps` updates.

    The authors of PIRenderer release such averages with the half-life of StyleGAN2's (Karras et al., CVPR 2020): 10 000
    pictures, by their decay of 0.5^(32 / 10 000) a step in batches of 32, that is 312.5 steps. Early on the decay is
    bounded by (1 + n) / (10 + n), as by TensorFlow's ExponentialMovingAverage, so that the random start is soon
    forgotten.
    """

    def __init__(self, module: M, half_life_steps: float) -> None:
        self.source = module
        self.module: M = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = 0.5 ** (1.0 / half_life_steps)
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move the average one step towards the network's present weights; buffers are copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for average, present in zip(self.module.parameters(), self.source.parameters(), strict=True):
            average.lerp_(present, 1.0 - decay)
        for kept, current in zip(self.module.buffers(), self.source.buffers(), strict=True):
            kept.copy_(current)

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's state."""
        self.module.load_state_dict(state["module"])
        self.updates = int(state["updates"])
