"""What training minimises."""

from model.training.losses.total import Loss, LossConfig, RendererLoss

__all__ = ["Loss", "LossConfig", "RendererLoss"]
