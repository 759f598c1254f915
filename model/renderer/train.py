"""Train a renderer on a corpus folder.

A run goes through phases: each has a picture size, a batch, a learning rate and an objective. The paper's recipe is the
warping network alone for the first half, then both from a new optimiser, then a fifth of the learning rate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import structlog
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from model.data.pairs import Batch, PairData
from model.losses.total import LossConfig, RendererLoss
from model.metrics.images import psnr
from model.morphable.basis import MOTION, MOTION_SPACE
from model.renderer.config import RendererConfig
from model.renderer.network import PIRenderer, RendererOutput, initialize
from model.renderer.prior import prior_flow
from model.training import Ema, Run
from model.weights.files import save_weights

log = structlog.get_logger(__name__)

CPU_LOSS = LossConfig(
    perceptual_warped=0, perceptual_image=0, style=0, l1_warped=1.0, l1_image=1.0, region_image=0.5, scales=3
)


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhaseConfig(_Config):
    """A stretch of the run, up to the share `until` (0..1) of its steps or its time budget."""

    until: float = Field(gt=0, le=1)
    size: PositiveInt = 256
    pairs: PositiveInt = 10  # each in both directions: a batch is twice this
    learning_rate: PositiveFloat = 1e-4
    edit: bool = True  # off: the warping network alone
    loss: LossConfig = LossConfig()


class RendererTrainingConfig(_Config):
    """Everything of a run. The defaults train the guided light size, as a CPU can."""

    network: RendererConfig = RendererConfig.light(MOTION)
    phases: tuple[PhaseConfig, ...] = (
        PhaseConfig(until=0.35, size=128, pairs=4, learning_rate=3e-4, loss=CPU_LOSS),
        PhaseConfig(until=0.8, size=256, pairs=2, learning_rate=2e-4, loss=CPU_LOSS),
        PhaseConfig(until=1.0, size=256, pairs=2, learning_rate=5e-5, loss=CPU_LOSS),
    )
    steps: PositiveInt = 200_000
    seed: int = 0
    frames_per_clip: PositiveInt = 40
    ema_half_life_steps: PositiveFloat = 312.5
    evaluate_every_minutes: PositiveFloat = 5.0
    evaluation_clips: PositiveInt = 24
    name: str = "renderer-guided-light"

    @model_validator(mode="after")
    def _phases_in_order(self) -> Self:
        ends = [phase.until for phase in self.phases]
        if ends != sorted(set(ends)) or ends[-1] != 1.0:
            raise ValueError(f"the phases end at {ends}; allowed are rising shares of which the last is 1.0")
        return self


def train(
    config: RendererTrainingConfig, *, data: Path, out: Path, minutes: float | None = None, cache: Path | None = None
) -> None:
    """Train, resume when `out` holds a checkpoint, and write weights and card of the averaged network to `out`.

    Decoded frames are kept in `cache` (default: `out`/cache) for later runs.
    """
    torch.manual_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = RendererTrainer(config, device)
    cache = cache or out / "cache"
    training = PairData(data, cache, split="train", frames_per_clip=config.frames_per_clip)
    held_out = PairData(data, cache, split="val", frames_per_clip=8)
    run = Run(out, config, trainer.state, steps=config.steps, minutes=minutes)
    trainer.enter_phase(run.progress, resumed=run.step > 0)
    evaluated = run.seconds
    for step in run.steps():
        trainer.enter_phase(run.progress)
        phase = trainer.phase
        batch = training.batch(np.random.default_rng((config.seed, step)), phase.pairs, phase.size)
        scalars = trainer.step(batch)
        run.log(step, **scalars)
        if run.seconds - evaluated >= config.evaluate_every_minutes * 60:
            evaluated = run.seconds
            figures, sheet = trainer.evaluate(held_out, phase.size)
            run.record(step, **figures)
            run.sheet(step, "held-out", sheet)
    figures, sheet = trainer.evaluate(held_out, config.phases[-1].size)
    run.record(run.step, **figures)
    run.sheet(run.step, "held-out", sheet)
    card = {
        "kind": "renderer",
        "version": 1,
        "motion_space": MOTION_SPACE,
        "dimension": MOTION,
        "intended_use": "animating portraits of consenting people, for research and demonstration",
        "data": training.sources,
        "recipe": "docs/training.md",
        "hours": round(run.seconds / 3600, 2),
        "steps": run.step,
        "hardware": torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{torch.get_num_threads()} CPU thread(s)",
        "figures": {name: round(value, 3) for name, value in figures.items()},
        "config": config.network.model_dump(),
    }
    save_weights(out, config.name, trainer.ema.module.state_dict(), card)


class RendererTrainer:
    """Network, average, optimiser and objective; knows what one step is."""

    def __init__(self, config: RendererTrainingConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        generator = torch.Generator().manual_seed(config.seed)
        self.network = initialize(PIRenderer(config.network), generator).to(device, memory_format=torch.channels_last)
        self.ema = Ema(self.network, config.ema_half_life_steps)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.phases[0].learning_rate, betas=(0.5, 0.999)
        )
        self.phase = config.phases[0]
        self.objective = RendererLoss(self.phase.loss).to(device)

    @property
    def state(self) -> dict[str, torch.nn.Module | Ema | torch.optim.Optimizer]:
        """All that a checkpoint holds."""
        return {"network": self.network, "ema": self.ema, "optimizer": self.optimizer}

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

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser; the loss's terms."""
        region, target = batch.region.to(self.device), batch.target.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            output = self.render(self.network, batch)
            loss = self.objective(output, target, region=region, edited=self.phase.edit)
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.ema.update()
        return {"loss": loss.total.item(), "gradient_norm": norm.item()} | {
            name: term.item() for name, term in loss.terms.items()
        }

    def render(self, network: PIRenderer, batch: Batch) -> RendererOutput:
        """The network's output for a batch of pairs."""
        source = batch.source.to(self.device, memory_format=torch.channels_last)
        prior = None
        if self.config.network.guided:
            prior = prior_flow(
                batch.source_landmarks.to(self.device), batch.target_landmarks.to(self.device), size=source.shape[-1]
            )
        return network(source, batch.motion.to(self.device), prior, edit=self.phase.edit)

    @torch.no_grad()
    def evaluate(self, held_out: PairData, size: int) -> tuple[dict[str, float], np.ndarray]:
        """PSNR on held-out people, first frame to a far one, beside copying and the prior's warp; and a sheet of them."""
        clips = held_out.clips[:: max(1, len(held_out.clips) // self.config.evaluation_clips)][
            : self.config.evaluation_clips
        ]
        sums: dict[str, list[float]] = {"psnr": [], "psnr_warped": [], "psnr_copy": []}
        rows = []
        for clip in clips:
            far = int((clip.landmarks[0] - clip.landmarks[0][:1]).abs().mean((1, 2)).argmax())
            batch = held_out.collate([held_out.pair(clip, 0, far, size)], size)
            output = self.render(self.ema.module, batch)
            for name, image in (("psnr", output.image), ("psnr_warped", output.warped), ("psnr_copy", batch.source)):
                sums[name].append(float(psnr(image.float().cpu(), batch.target)[0]))
            pictures = [batch.source, output.warped.cpu(), output.image.cpu(), batch.target]
            if output.mask is not None:
                pictures.append(output.mask.cpu().expand(-1, 3, -1, -1) * 2 - 1)
            rows.append(torch.cat([picture[0].float() for picture in pictures], 2))
        return {name: float(np.mean(values)) for name, values in sums.items()}, _sheet(rows[:12])


def _sheet(rows: list[Tensor]) -> np.ndarray:
    sheet = torch.cat(rows, 1).clamp(-1, 1).add(1).mul(127.5).round()
    return sheet.permute(1, 2, 0).to(torch.uint8).numpy()
