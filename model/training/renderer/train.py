"""Train a renderer on a corpus folder.

A run goes through phases: each has a picture size, a batch, a learning rate and an objective. The paper's recipe is the
warping network alone for the first half, then both from a new optimiser, then a fifth of the learning rate.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import structlog
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from model.data.batch import Batch, PairSource
from model.data.loader import Loader
from model.data.sources import open_pairs
from model.evaluation.renderer.preview import contact_sheet, measure, render_batch
from model.metrics.perceptual import PerceptualDistance
from model.renderer.guide import Guide
from model.renderer.network import PIRenderer, initialize
from model.renderer.prior.skinning import SKINNING
from model.renderer.released import load_renderer
from model.training import Ema, Ranks, Run, Stateful
from model.training.losses.adversarial import PatchDiscriminator, adversarial_loss, discriminator_loss
from model.training.losses.total import RendererLoss
from model.training.renderer.grow import grow
from model.training.renderer.recipe import RendererTrainingConfig, defaults_for
from model.weights.card import RendererCard
from model.weights.files import copy_weights, load_into, load_weights

log = structlog.get_logger(__name__)

DISCRIMINATOR_RATE = 4e-4
SHEET_PAIRS = 12
GROWN_ON = 4  # pairs on which a grown network's norms are corrected

__all__ = ["RendererTrainer", "RendererTrainingConfig", "defaults_for", "train"]


def train(
    config: RendererTrainingConfig, *, data: Path, out: Path, minutes: float | None = None, cache: Path | None = None
) -> None:
    """Train, resume when `out` holds a checkpoint, and keep weights and card of the best averaged network in `out`.

    Best is the one whose pictures of held-out people look nearest to the true ones, see `keep_best`. Decoded frames are
    kept in `cache` (default: `out`/cache) for later runs. Under torchrun every process draws its share of the batches.

    Raises DataError: the folder is no corpus and no LMDB of the authors' layout, or the configuration does not fit it.
    Raises WeightsError: those of EfficientNet-Lite0, by which pictures are compared, are not installed.
    Raises TrainingDivergedError: the loss is NaN or infinite; the last checkpoint is from before.
    """
    torch.manual_seed(config.seed)
    ranks = Ranks.join()
    cache = cache or out / "cache"
    open_training = partial(
        open_pairs,
        data,
        cache,
        split="train",
        frames_per_clip=config.frames_per_clip,
        clips=config.clips,
        warp_back=config.warp_back,
        augment=config.augment,
    )
    with ranks.first_alone():  # it decodes what all will read
        training = open_training()
        config.check_fits(training)
        held_out = HeldOutPairs(config, training, data, cache)
    trainer = RendererTrainer(config, ranks)
    run = Run(
        out, config, trainer.state, steps=config.steps, minutes=minutes, keep=config.keep_checkpoints, ranks=ranks
    )
    if config.start_from is not None and run.step == 0:
        trainer.start_from(config.start_from, held_out)
    trainer.enter_phase(run.progress, resumed=run.step > 0)
    loader = Loader(
        open_training, seed=config.seed, processes=config.loader_workers, device=ranks.device, opened=training
    )
    with closing(loader):
        for step, progress in run.steps():
            trainer.enter_phase(progress)
            phase = trainer.phase
            pairs = tuple(ranks.share(phase.pairs))
            batches = loader.batches(step, count=phase.accumulate, pairs=pairs, size=phase.size)
            run.log(step, **trainer.step(batches))
            if run.due(config.evaluate_every_minutes):
                keep_best(run, trainer, held_out)
    if ranks.leads:
        keep_best(run, trainer, held_out)
    ranks.wait()


class HeldOutPairs:
    """The pairs by which a run is judged: of held-out people, or of the training itself."""

    def __init__(self, config: RendererTrainingConfig, training: PairSource, data: Path, cache: Path) -> None:
        self.name, self._seed, self.training = config.evaluate_on, config.seed, training
        self._held_out: PairSource | None = None
        if config.evaluate_on == "held-out":
            self._held_out = open_pairs(data, cache, split="val", frames_per_clip=8)

    def training_batch(self, numbers: Iterable[int], *, size: int) -> Batch:
        """Pairs of the training split, the same for the same numbers."""
        return self.training.batch([np.random.default_rng((self._seed, number)) for number in numbers], size)

    def pairs(self, size: int, count: int) -> Iterator[Batch]:
        """`count` of them, the same at every call."""
        if self._held_out is not None:
            yield from self._held_out.first_to_farthest(size, clips=count)
            return
        for number in range(count):
            yield self.training_batch([number], size=size)

    def warped_back(self, size: int, count: int) -> Iterator[Batch]:
        """At most `count` held-out pictures turned aside and back, the same at every call."""
        if self._held_out is not None:
            yield from self._held_out.back_from_the_side(size, pictures=count)


def keep_best(run: Run, trainer: "RendererTrainer", held_out: HeldOutPairs) -> None:
    """Measure the averaged network on held-out pairs; write it as weights when none before was better.

    Better is a smaller perceptual distance, the mean of those on real pairs and, where there are any, on pictures that
    were turned aside and back: PSNR prefers what is blurred. A guided network's prior goes with it: the skinning
    network is copied beside it.
    """
    config, network, distance = trainer.config, trainer.ema.module, trainer.distance
    if distance is None:
        raise RuntimeError("the first process alone measures")
    size = config.phases[-1].size
    figures = measure(network, held_out.pairs(size, config.evaluation_clips), distance)
    back = measure(network, held_out.warped_back(size, config.evaluation_clips), distance)
    figures |= {f"warp_back_{name}": value for name, value in back.items()}
    seen = [figures[name] for name in ("perceptual_image", "warp_back_perceptual_image") if name in figures]
    figures["distance"] = round(sum(seen) / len(seen), 5)
    run.record(run.step, **figures)
    run.sheet(run.step, held_out.name, contact_sheet(network, held_out.pairs(size, SHEET_PAIRS)))
    if back:
        run.sheet(run.step, "warp-back", contact_sheet(network, held_out.warped_back(size, SHEET_PAIRS)))
    card = RendererCard(
        motion_space=held_out.training.motion_space,
        dimension=held_out.training.dimension,
        intended_use="animating portraits of consenting people, for research and demonstration",
        data=held_out.training.sources,
        recipe="docs/training.md",
        figures=figures,
        config=config.network.model_dump(),
    )

    def nearer(before: dict[str, Any]) -> bool:
        return bool(figures["distance"] < before.get("distance", math.inf))

    if run.release(config.name, network, card, better=nearer) and config.network.guided:
        copy_weights(SKINNING, run.directory)


class RendererTrainer:
    """Network, average, optimiser and objective; knows what one step is."""

    def __init__(self, config: RendererTrainingConfig, ranks: Ranks | None = None) -> None:
        self.config = config
        self.ranks = ranks or Ranks.alone()
        device = self.device = self.ranks.device
        generator = torch.Generator().manual_seed(config.seed)
        self.network = initialize(PIRenderer(config.network), generator).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = Ema(self.network, config.ema_half_life_steps)
        parts_unused = not all(phase.edit for phase in config.phases)
        if config.compile:
            self.network.compile(backend=config.compile)  # in place: the keys of its weights stay
        self.parallel = self.ranks.wrap(self.network, some_unused=parts_unused)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.phases[0].learning_rate, betas=(0.5, 0.999)
        )
        self.bfloat16 = device.type == "cuda" if config.bfloat16 is None else config.bfloat16
        self.discriminator: PatchDiscriminator | None = None
        self.distance = PerceptualDistance() if self.ranks.leads else None
        if any(phase.loss.adversarial for phase in config.phases):
            self.discriminator = PatchDiscriminator().to(device)
            self.discriminator_optimizer = torch.optim.Adam(
                self.discriminator.parameters(), lr=DISCRIMINATOR_RATE, betas=(0.0, 0.99)
            )
        self.phase = config.phases[0]
        self.objective = RendererLoss(self.phase.loss).to(device)

    @property
    def state(self) -> dict[str, Stateful]:
        """All that a checkpoint holds."""
        state: dict[str, Stateful] = {"network": self.network, "ema": self.ema, "optimizer": self.optimizer}
        if self.discriminator is not None:
            state |= {"discriminator": self.discriminator, "discriminator_optimizer": self.discriminator_optimizer}
        return state

    def start_from(self, directory: Path, held_out: HeldOutPairs) -> None:
        """Take network and average from released weights, or grow them from narrower ones.

        Raises WeightsError: weights or card are missing, damaged or do not fit.
        Raises ModelError: the network is not a wider one of the narrower's shape.
        """
        if self.config.grow is None:
            weights, _ = load_weights(self.config.name, directory)
        else:
            narrow, _ = load_renderer(self.config.grow, directory)
            generator = torch.Generator().manual_seed(self.config.seed)
            batch = held_out.training_batch(range(GROWN_ON), size=narrow.config.size)
            weights = grow(narrow, self.config.network, batch, generator).state_dict()
        for network in (self.network, self.ema.module):
            load_into(network, weights, self.config.name)

    def enter_phase(self, progress: float, *, resumed: bool = False) -> None:
        """Take up the phase that `progress` (0..1) lies in; the optimiser is made anew when editing starts."""
        phase = next(phase for phase in self.config.phases if progress < phase.until or phase.until == 1.0)
        if phase is self.phase:
            return
        log.info("training phase", until=phase.until, size=phase.size, learning_rate=phase.learning_rate)
        if phase.edit and not self.phase.edit and not resumed:
            self.optimizer.state.clear()
        if phase.loss != self.phase.loss:
            self.objective = RendererLoss(phase.loss).to(self.device)
        self.phase = phase
        for group in self.optimizer.param_groups:
            group["lr"] = phase.learning_rate

    def step(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """One step of the optimisers on the mean of the batches' gradients; the loss's terms (), of all processes.

        Where the loss is not finite, no step is taken: to differentiate through places that are NaN can crash torch.
        """
        self.optimizer.zero_grad(set_to_none=True)
        means: dict[str, Tensor] = {}
        for number, batch in enumerate(batches, start=1):
            several = isinstance(self.parallel, DistributedDataParallel) and number < len(batches)
            # Processes exchange gradients once a step.
            with cast(DistributedDataParallel, self.parallel).no_sync() if several else nullcontext():
                total, terms = self._loss(batch)
                seen = self.ranks.mean({"loss": total} | terms)
                if not seen["loss"].isfinite():
                    return seen
                (total / len(batches)).backward()
            for name, value in seen.items():
                means[name] = means.get(name, 0.0) + value / len(batches)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.ema.update()
        return means | {"gradient_norm": norm}  # of gradients that processes share

    def _loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """What to differentiate for a batch, and its terms before weighting."""
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            output = render_batch(self.parallel, batch, edit=self.phase.edit)
            doubt = None if batch.prior is None else Guide(batch.prior).doubtful
            loss = self.objective(output, batch.target, region=batch.region, doubt=doubt, edited=self.phase.edit)
        total, terms = loss.total, loss.terms
        if self.phase.loss.adversarial and self.phase.edit:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                term, more = self._against_discriminator(output.image, batch.target, doubt)
            total, terms = total + term, terms | more
        return total, terms

    def _against_discriminator(
        self, made: Tensor, real: Tensor, doubt: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Teach the discriminator these pictures (B, 3, S, S), then ask it: the weighted loss, and its terms.

        doubt (B, 1, S, S) tells where it looks.
        """
        if self.discriminator is None:
            raise RuntimeError("this phase has no adversarial loss")
        weight = torch.ones_like(real[:, :1]) if doubt is None else doubt
        self.discriminator.requires_grad_(requires_grad=True)
        judged = discriminator_loss(self.discriminator(real), self.discriminator(made.detach()), weight)
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        judged.backward()
        self.ranks.average_gradients(self.discriminator.parameters())
        self.discriminator_optimizer.step()
        self.discriminator.requires_grad_(requires_grad=False)
        adversarial = adversarial_loss(self.discriminator(made), weight)
        return self.phase.loss.adversarial * adversarial, {
            "discriminator": judged,
            "adversarial": adversarial,
        }
