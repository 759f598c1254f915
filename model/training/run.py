"""A training run: its folder, budget, logs, checkpoints and resumption, the same for every model.

    run = Run(directory, config, {"network": network, "optimizer": optimizer}, steps=1000, minutes=30)
    for step, progress in run.steps():
        ...
        run.log(step, loss=loss)
    run.release("thing", network, card)

The folder holds `config.json`, `log.jsonl`, tensorboard events, `sheets/`, the last checkpoints and what is released.
"""

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import structlog
import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model.arrays import Pixels
from model.errors import DataError, TrainingDivergedError
from model.files import written
from model.training.ranks import Ranks
from model.weights.card import Card
from model.weights.files import load_weights, save_weights

log = structlog.get_logger(__name__)


class Stateful(Protocol):
    """What a checkpoint can hold: networks, optimisers, schedulers, averages, data orders."""

    def state_dict(self) -> dict[str, Any]:
        """State made of tensors, numbers, strings and containers of them."""

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Take the state up again."""


class Run:
    """One training run in `directory`, resumed by itself when the directory holds a checkpoint of it.

    Raises DataError: the directory holds a checkpoint of another configuration.
    """

    def __init__(
        self,
        directory: Path,
        config: BaseModel,
        state: Mapping[str, Stateful],
        *,
        steps: int,
        minutes: float | None = None,
        save_every_minutes: float = 5.0,
        log_every: int = 20,
        keep: int = 2,
        ranks: Ranks | None = None,
    ) -> None:
        self.directory = directory
        self.total_steps = steps
        self.minutes = minutes
        self.step = 0
        self.seconds = 0.0  # spent training, earlier sessions included
        self._state = dict(state)
        self._save_every = save_every_minutes * 60.0
        self._log_every = log_every
        self._keep = keep
        self._ranks = ranks or Ranks.alone()
        self._bar: tqdm[Any] | None = None
        self._writer: SummaryWriter | None = None
        self._resume()
        self._due = self.seconds
        if self._ranks.leads:
            self._open(config)

    def _open(self, config: BaseModel) -> None:
        directory = self.directory
        (directory / "sheets").mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(config.model_dump_json(indent=2), encoding="utf-8")
        self._writer = SummaryWriter(str(directory / "tensorboard"))

    @property
    def progress(self) -> float:
        """Share of the run done, 0..1, by steps or by time budget, whichever is further."""
        by_time = self.seconds / (self.minutes * 60.0) if self.minutes else 0.0
        return min(1.0, max(self.step / self.total_steps, by_time))

    def steps(self) -> Iterator[tuple[int, float]]:
        """Step numbers from where the run stands to its end, each with the `progress` that all processes agree on.

        Saves at intervals and at the end.
        """
        last = saved = time.monotonic()
        silent = not self._ranks.leads
        self._bar = tqdm(total=self.total_steps, initial=self.step, unit="step", mininterval=5.0, disable=silent)
        try:
            while (progress := self._ranks.agree(self.progress)) < 1.0:
                yield self.step, progress
                self.step += 1
                now = time.monotonic()
                self.seconds, last = self.seconds + now - last, now
                self._bar.update()
                if now - saved >= self._save_every:
                    self.save()
                    saved = time.monotonic()
            self.save()
        finally:
            self._bar.close()
            if self._writer:
                self._writer.flush()

    def due(self, minutes: float) -> bool:
        """Whether the run has trained for so long since it was opened, or since this was last true.

        Only the first process is ever told so: it measures for all.
        """
        if not self._ranks.leads or self.seconds - self._due < minutes * 60:
            return False
        self._due = self.seconds
        return True

    def log(self, step: int, **scalars: float | Tensor) -> None:
        """Write scalars every `log_every` steps, and watch all of them; tensors () are read from their device then.

        Raises TrainingDivergedError: a scalar is NaN or infinite; the last good checkpoint stays.
        """
        if step % self._log_every and math.isfinite(sum(scalars.values())):  # one number tells of all
            return
        values = {name: float(value) for name, value in scalars.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise self._diverged(f"{name} is {value} at step {step}")
        self.record(step, **values)
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in list(values.items())[:4]}, refresh=False)

    def record(self, step: int, **values: float) -> None:
        """Write figures of an evaluation now, whatever the step."""
        if self._writer is None:
            return
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        line = {"step": step, "seconds": round(self.seconds, 1), **values}
        with (self.directory / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def sheet(self, step: int, name: str, image: Pixels) -> None:
        """Keep an RGB picture (H, W, 3) uint8 of how training looks."""
        if self._writer is None:
            return
        self._writer.add_image(name, image, step, dataformats="HWC")
        cv2.imwrite(str(self.directory / "sheets" / f"{name}-{step:07d}.png"), image[..., ::-1])

    def save(self) -> Path:
        """Write checkpoint-STEP.pt whole or not at all, and drop the oldest.

        Raises TrainingDivergedError: the state holds NaN or infinity; nothing is written or dropped.
        """
        path = self.directory / f"checkpoint-{self.step:08d}.pt"
        if not self._ranks.leads:
            return path
        state = {name: part.state_dict() for name, part in self._state.items()}
        for name, part in state.items():
            if not _finite(part):
                raise self._diverged(f"{name} holds NaN or infinity at step {self.step}")
        with written(path) as temporary:
            torch.save({"step": self.step, "seconds": self.seconds, "rng": _rng_state(), "state": state}, temporary)
        for old in self._checkpoints()[: -self._keep]:
            old.unlink()
        return path

    def release(
        self,
        name: str,
        network: nn.Module,
        card: Card,
        *,
        better: Callable[[dict[str, Any]], bool] | None = None,
        dtype: torch.dtype = torch.float16,
    ) -> bool:
        """Write the network as weights NAME with its card into the run's folder, and tell whether that was done.

        `better` is asked, with the figures of the card that is there, whether these are better ones; without it, or
        where nothing is there yet, they always are. The run tells the card its hours, steps and hardware.

        Raises WeightsError: a weight is not finite as `dtype`; or the weights that are there are damaged.
        """
        if better is not None and (self.directory / f"{name}.json").is_file():
            _, before = load_weights(name, self.directory)
            if not better(before["figures"]):
                return False
        course = {"hours": round(self.seconds / 3600, 2), "steps": self.step, "hardware": self._ranks.hardware}
        save_weights(self.directory, name, network.state_dict(), card.model_copy(update=course), dtype=dtype)
        return True

    def _diverged(self, what: str) -> TrainingDivergedError:
        kept = self._checkpoints()
        after = f"the last good checkpoint is {kept[-1].name}" if kept else "there was no checkpoint yet"
        return TrainingDivergedError(f"{what}; {after}. A lower learning rate may go on from there")

    def _checkpoints(self) -> list[Path]:
        return sorted(self.directory.glob("checkpoint-*.pt"))

    def _resume(self) -> None:
        found = self._checkpoints()
        if not found:
            return
        checkpoint = torch.load(found[-1], weights_only=True, map_location="cpu")
        try:
            for name, part in self._state.items():
                part.load_state_dict(checkpoint["state"][name])
        except (KeyError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{found[-1]} does not fit this configuration: {error}; go on with the one in config.json there, or "
                "begin in another folder"
            ) from error
        self.step, self.seconds = int(checkpoint["step"]), float(checkpoint["seconds"])
        _set_rng_state(checkpoint["rng"])
        log.info("training resumed", checkpoint=found[-1].name, step=self.step, minutes=round(self.seconds / 60, 1))


def _finite(state: Any) -> bool:
    """Whether all tensors in containers hold finite numbers alone."""
    if isinstance(state, torch.Tensor):
        return not state.is_floating_point() or bool(state.isfinite().all())
    parts = state.values() if isinstance(state, Mapping) else state if isinstance(state, list | tuple) else ()
    return all(_finite(part) for part in parts)


def _rng_state() -> dict[str, Any]:
    """States of torch, numpy's legacy and Python's generators, in types that weights_only loading admits."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    python_state = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "python": [python_state[0], list(python_state[1]), python_state[2]],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _set_rng_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    random.setstate((state["python"][0], tuple(state["python"][1]), state["python"][2]))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
