"""The training loop all models share."""

from model.training.ema import Ema
from model.training.parallel import Workers
from model.training.run import Run, Stateful

__all__ = ["Ema", "Run", "Stateful", "Workers"]
