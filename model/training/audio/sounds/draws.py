"""Numbers drawn from torch's global generator."""

import torch


def uniform(low: float, high: float) -> float:
    """One number between low and high."""
    return low + (high - low) * float(torch.rand(()))


def happens(share: float) -> bool:
    """True in that share of calls."""
    return float(torch.rand(())) < share
