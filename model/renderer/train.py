"""Train a renderer on a corpus folder.

A run goes through phases: each has a picture size, a batch, a learning rate and an objective. The paper's recipe is the
warping network alone for the first half, then both from a new optimiser, then a fifth of the learning rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Self, cast

import numpy as np
import structlog
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from model.data.pairs import Batch, PairData
from model.losses.adversarial import PatchDiscriminator, crops, discriminator_loss, generator_losses
from model.losses.total import LossConfig, RendererLoss
from model.morphable.basis import MOTION, MOTION_SPACE
from model.renderer.config import RendererConfig
from model.renderer.network import PIRenderer, initialize
from model.renderer.preview import contact_sheet, first_to_farthest_frame, measure, render_batch
from model.renderer.skinning import SKINNING
from model.training import Ema, Run, Stateful, Workers
from model.weights.files import copy_weights, load_into, load_weights, save_weights

log = structlog.get_logger(__name__)

CPU_LOSS = LossConfig(
    perceptual_warped=0, perceptual_image=0, style=0, l1_warped=1.0, l1_image=1.0, region_image=1.0, scales=3
)

# Once the head moves rightly, what is left to learn is in the mouth and the eyes.
DETAIL_LOSS = CPU_LOSS.model_copy(update={"l1_warped": 0.25, "region_image": 3.0})

DISCRIMINATOR_RATE = 4e-4


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhaseConfig(_Config):
    """A stretch of the run, up to the share `until` (0..1) of its steps or its time budget."""

    until: float = Field(gt=0, le=1)
    size: PositiveInt = 256
    pairs: PositiveInt = 10  # each in both directions: a batch is twice this, over all processes
    accumulate: PositiveInt = 1  # batches whose gradients make one step
    learning_rate: PositiveFloat = 1e-4
    edit: bool = True  # off: the warping network alone
    loss: LossConfig = LossConfig()


class RendererTrainingConfig(_Config):
    """Everything of a run. The defaults train the guided light size, as a CPU can."""

    network: RendererConfig = RendererConfig.light(MOTION)
    phases: tuple[PhaseConfig, ...] = (
        PhaseConfig(until=0.35, size=128, pairs=4, learning_rate=3e-4, loss=CPU_LOSS),
        PhaseConfig(until=0.8, size=256, pairs=2, learning_rate=2e-4, loss=DETAIL_LOSS),
        PhaseConfig(until=1.0, size=256, pairs=2, learning_rate=5e-5, loss=DETAIL_LOSS),
    )
    steps: PositiveInt = 200_000
    seed: int = 0
    frames_per_clip: PositiveInt = 40
    stills: float = Field(default=0.0, ge=0, le=1)  # share of pairs made of photos
    ema_half_life_steps: PositiveFloat = 312.5
    evaluate_every_minutes: PositiveFloat = 5.0
    evaluation_clips: PositiveInt = 24
    name: str = "renderer-guided-light"
    bfloat16: bool | None = None  # mixed precision; None: on a GPU alone. CPUs with avx512_bf16 gain from it too
    start_from: Path | None = None  # folder whose weights NAME a new run starts from, such as model/weights

    @model_validator(mode="after")
    def _phases_in_order(self) -> Self:
        ends = [phase.until for phase in self.phases]
        if ends != sorted(set(ends)) or ends[-1] != 1.0:
            raise ValueError(f"the phases end at {ends}; allowed are rising shares of which the last is 1.0")
        return self


def train(
    config: RendererTrainingConfig, *, data: Path, out: Path, minutes: float | None = None, cache: Path | None = None
) -> None:
    """Train, resume when `out` holds a checkpoint, and keep weights and card of the best averaged network in `out`.

    Best is the one whose pictures of held-out people have the highest PSNR at the last phase's size. Decoded frames are
    kept in `cache` (default: `out`/cache) for later runs. Under torchrun every process draws its share of the batches.
    """
    torch.manual_seed(config.seed)
    workers = Workers.join()
    cache = cache or out / "cache"
    if not workers.leads:
        workers.wait()  # until the first process has decoded what all will read
    training = PairData(data, cache, split="train", frames_per_clip=config.frames_per_clip, stills=config.stills)
    held_out = PairData(data, cache, split="val", frames_per_clip=8)
    if workers.leads:
        workers.wait()
    trainer = RendererTrainer(config, workers)
    run = Run(out, config, trainer.state, steps=config.steps, minutes=minutes, workers=workers)
    if config.start_from is not None and run.step == 0:
        trainer.start_from(config.start_from)
    trainer.enter_phase(run.agreed_progress(), resumed=run.step > 0)
    evaluated = run.seconds
    for step in run.steps():
        trainer.enter_phase(run.agreed_progress())
        run.log(step, **trainer.step(list(draw(training, config, trainer.phase, workers, step))))
        if workers.leads and run.seconds - evaluated >= config.evaluate_every_minutes * 60:
            evaluated = run.seconds
            keep_best(run, trainer, held_out, training.sources)
    if workers.leads:
        keep_best(run, trainer, held_out, training.sources)
    workers.wait()


def draw(
    data: PairData, config: RendererTrainingConfig, phase: PhaseConfig, workers: Workers, step: int
) -> Iterator[Batch]:
    """This process's share of the batches of a step."""
    for number in range(phase.accumulate):
        seeds = ((config.seed, step, number, pair) for pair in workers.share(phase.pairs))
        yield data.batch([np.random.default_rng(seed) for seed in seeds], phase.size)


def keep_best(run: Run, trainer: RendererTrainer, held_out: PairData, sources: list[str]) -> None:
    """Measure the averaged network on held-out people; write it as weights when none before was better.

    A guided network's prior goes with it: the skinning network is copied beside it.
    """
    config, network = trainer.config, trainer.ema.module
    figures = evaluate_held_out(run, network, held_out, config, size=config.phases[-1].size)
    if (run.directory / f"{config.name}.json").is_file():
        _, before = load_weights(config.name, run.directory)
        if before["figures"]["psnr_image"] >= figures["psnr_image"]:
            return
    card = {
        "kind": "renderer",
        "version": 1,
        "motion_space": MOTION_SPACE,
        "dimension": MOTION,
        "intended_use": "animating portraits of consenting people, for research and demonstration",
        "data": sources,
        "recipe": "docs/training.md",
        "hours": round(run.seconds / 3600, 2),
        "steps": run.step,
        "hardware": trainer.workers.hardware,
        "figures": figures,
        "config": config.network.model_dump(),
    }
    save_weights(run.directory, config.name, network.state_dict(), card)
    if config.network.guided:
        copy_weights(SKINNING, run.directory)


def evaluate_held_out(
    run: Run, network: PIRenderer, held_out: PairData, config: RendererTrainingConfig, *, size: int
) -> dict[str, float]:
    """Measure on held-out people and record the figures and a sheet."""
    figures = measure(network, first_to_farthest_frame(held_out, size, clips=config.evaluation_clips))
    run.record(run.step, **figures)
    run.sheet(run.step, "held-out", contact_sheet(network, first_to_farthest_frame(held_out, size, clips=12)))
    return figures


class RendererTrainer:
    """Network, average, optimiser and objective; knows what one step is."""

    def __init__(self, config: RendererTrainingConfig, workers: Workers | None = None) -> None:
        self.config = config
        self.workers = workers or Workers(0, 1, torch.device("cpu"))
        device = self.device = self.workers.device
        generator = torch.Generator().manual_seed(config.seed)
        self.network = initialize(PIRenderer(config.network), generator).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        parts_unused = not all(phase.edit for phase in config.phases)
        self.parallel = self.workers.wrap(self.network, some_unused=parts_unused)
        self.ema = Ema(self.network, config.ema_half_life_steps)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.phases[0].learning_rate, betas=(0.5, 0.999)
        )
        self.bfloat16 = device.type == "cuda" if config.bfloat16 is None else config.bfloat16
        self.discriminator: PatchDiscriminator | None = None
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

    def start_from(self, directory: Path) -> None:
        """Take network and average from released weights; WeightsError when they do not fit."""
        weights, _ = load_weights(self.config.name, directory)
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

    def step(self, batches: Sequence[Batch]) -> dict[str, float]:
        """One step of the optimisers on the mean of the batches' gradients; the loss's terms, of all processes."""
        self.optimizer.zero_grad(set_to_none=True)
        scalars: dict[str, float] = {}
        for number, batch in enumerate(batches, start=1):
            several = isinstance(self.parallel, DistributedDataParallel) and number < len(batches)
            # Processes exchange gradients once a step.
            with cast(DistributedDataParallel, self.parallel).no_sync() if several else nullcontext():
                total, terms = self._loss(batch)
                (total / len(batches)).backward()
            for name, value in ({"loss": total.item()} | terms).items():
                scalars[name] = scalars.get(name, 0.0) + value / len(batches)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.ema.update()
        return self.workers.mean(scalars | {"gradient_norm": norm.item()})

    def _loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """What to differentiate for a batch, and its terms before weighting."""
        region, target = batch.region.to(self.device), batch.target.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            output = render_batch(self.parallel, batch, edit=self.phase.edit)
            loss = self.objective(output, target, region=region, edited=self.phase.edit)
        total, scalars = loss.total, {name: term.item() for name, term in loss.terms.items()}
        if self.phase.loss.adversarial and self.phase.edit:
            made, real = crops(output.image.float(), batch.mouth), crops(target, batch.mouth)
            term, more = self._against_discriminator(made, real)
            total, scalars = total + term, scalars | more
        return total, scalars

    def _against_discriminator(self, made: Tensor, real: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Teach the discriminator these crops (B, 3, s, s), then ask it: the weighted loss, and its terms."""
        if self.discriminator is None:
            raise RuntimeError("this phase has no adversarial loss")
        self.discriminator.requires_grad_(requires_grad=True)
        judged = discriminator_loss(self.discriminator(real)[0], self.discriminator(made.detach())[0])
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        judged.backward()
        self.workers.average_gradients(self.discriminator.parameters())
        self.discriminator_optimizer.step()
        self.discriminator.requires_grad_(requires_grad=False)
        adversarial, features = generator_losses(self.discriminator, made, real)
        weights = self.phase.loss
        return weights.adversarial_mouth * adversarial + weights.features_mouth * features, {
            "discriminator": judged.item(),
            "adversarial_mouth": adversarial.item(),
            "features_mouth": features.item(),
        }
