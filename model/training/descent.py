"""How small networks descend: AdamW, its rate annealed, its gradients bounded."""

import math

import torch
from torch import Tensor, nn

LARGEST_GRADIENT = 1.0


def annealed(progress: float) -> float:
    """The share of the learning rate at `progress` 0..1: a short warm-up, then a cosine to 0."""
    return min(1.0, 0.05 + 20 * progress) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def adam(module: nn.Module, rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; what has one dimension, norms and biases, does not decay."""
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    free = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW([{**group, "rate": rate} for group in groups], lr=rate)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, module: nn.Module) -> None:
    """One step of an optimiser of `adam` at that share of its rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * rate
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(module.parameters(), LARGEST_GRADIENT)
    optimizer.step()
