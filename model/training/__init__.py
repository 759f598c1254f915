"""The training loop all models share."""

from model.training.ema import Ema
from model.training.ranks import Ranks
from model.training.run import Run, Stateful

__all__ = ["Ema", "Ranks", "Run", "Stateful"]
