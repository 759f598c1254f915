"""What training minimises."""

from model.losses.total import Loss, LossConfig, RendererLoss

__all__ = ["Loss", "LossConfig", "RendererLoss"]
