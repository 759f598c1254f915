"""Train speech-to-motion: regressors of the lips first, then the flows of what they leave open."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
import torch
from torch import Tensor, nn

from model.audio.clip import SpeechClip
from model.audio.config import AudioConfig
from model.audio.features import SUBFRAMES
from model.audio.network import Flows, SpeechNetwork, histories
from model.data.corpus import read_corpus
from model.data.speech_clips import read_clips
from model.data.speech_windows import Windows
from model.evaluation.audio.nll import flow_nll
from model.morphable import MorphableModel
from model.training import Ema, Run, Stateful
from model.training.audio.augment import augment
from model.training.audio.release import fit_sampling, release

log = structlog.get_logger(__name__)

HELD_OUT_SYNC = 0.15  # a held-out clip under this may not be the mouth that speaks
LARGEST_GRADIENT = 1.0


class Best:
    """The flows with the best held-out likelihood so far."""

    def __init__(self, flows: Flows) -> None:
        self.flows = copy.deepcopy(flows)
        self.nll = math.inf
        self.step = 0
        self.misses = 0

    def offer(self, flows: Flows, nll: float, step: int) -> None:
        """Keep these when they are better; else count a miss."""
        if nll < self.nll:
            self.flows.load_state_dict(flows.state_dict())
            self.nll, self.step, self.misses = nll, step, 0
        else:
            self.misses += 1

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"flows": self.flows.state_dict(), "nll": self.nll, "step": self.step, "misses": self.misses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's state."""
        self.flows.load_state_dict(state["flows"])
        self.nll, self.step, self.misses = state["nll"], state["step"], state["misses"]


class Stage:
    """Which part is in training, and since when: 0 regressors, 1 flows."""

    def __init__(self) -> None:
        self.number, self.began = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"number": self.number, "began": self.began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's state."""
        self.number, self.began = state["number"], state["began"]


class Trainer:
    """Training data, networks and one step of each stage."""

    def __init__(self, config: AudioConfig, clips: Sequence[SpeechClip], held_out: Sequence[SpeechClip]) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.steps = config.regressor_steps + config.flow_steps
        self.clips = [clip for clip in clips if clip.trust > 0]
        self.held_out = [clip for clip in held_out if clip.sync >= HELD_OUT_SYNC] or list(held_out)
        self.network = SpeechNetwork(config.network)
        self.network.code.fit(self.clips, MorphableModel.load())
        self.blink_figures = self.network.blinks.fit([clip.closure.numpy() for clip in clips])
        self.lengths = [clip.frames for clip in self.clips]
        self.weights = torch.tensor([clip.trust * clip.frames for clip in self.clips])
        people = sorted({clip.person for clip in self.clips})
        fold = {person: number % config.network.members for number, person in enumerate(people)}
        self.folds = [fold[clip.person] for clip in self.clips]
        code = self.network.code
        self.codes = [torch.cat([code.expression(clip), code.pose(clip)], dim=1) for clip in self.clips]
        self.held_out_codes = [torch.cat([code.expression(clip), code.pose(clip)], dim=1) for clip in self.held_out]
        self.regressor_optimizer = _adam(self.network.regressors, config.regressor_rate, config.weight_decay)
        self.flow_optimizer = _adam(self.network.flows, config.flow_rate, config.weight_decay)
        self.regressor_ema = Ema(self.network.regressors, config.ema_half_life_steps)
        self.flow_ema = Ema(self.network.flows, config.ema_half_life_steps)
        self.best = Best(self.network.flows)
        self.stage = Stage()
        self.tracks: list[Tensor] = []
        self.pasts: list[Tensor] = []
        self.held_out_tracks: list[Tensor] = []

    @property
    def state(self) -> dict[str, Stateful]:
        """All that a checkpoint holds."""
        return {
            "network": self.network,
            "regressor_optimizer": self.regressor_optimizer,
            "flow_optimizer": self.flow_optimizer,
            "regressor_ema": self.regressor_ema,
            "flow_ema": self.flow_ema,
            "best": self.best,
            "stage": self.stage,
        }

    def regressor_step(self, rate: float) -> dict[str, Tensor]:
        """Let every member learn from windows of the people it is shown."""
        config, ensemble = self.config, self.network.regressors.train()
        e, margin = config.network.components, ensemble.reach
        importance = self.network.code.importance
        total = torch.zeros(())
        for number, member in enumerate(ensemble.members):
            shown = torch.tensor([float(fold != number) for fold in self.folds])
            windows = Windows.draw(
                self.lengths, self.weights * shown, batch=config.regressor_batch, frames=config.regressor_frames
            )
            mel = windows.cut([clip.mel for clip in self.clips], rate=SUBFRAMES, margin=margin)
            mel = torch.roll(augment(mel), int(torch.randint(-1, 2, ())), dims=1)  # up to 10 ms early or late
            target = windows.cut([code[:, :e] for code in self.codes])
            error = (member(mel)[:, margin:-margin] - target).square() @ importance / e
            inside = windows.inside(self.lengths)
            total = total + (error * inside).sum() / inside.sum()
        _descend(self.regressor_optimizer, total, rate, self.network.regressors)
        self.regressor_ema.update()
        return {"regression": total.detach().double() / len(ensemble.members)}

    def begin_flows(self, *, anew: bool) -> None:
        """Fix the regressors at their average, predict every clip with them, and let new flows start as Gaussians."""
        network, e = self.network, self.config.network.components
        network.regressors.load_state_dict(self.regressor_ema.module.state_dict())
        network.regressors.eval()
        with torch.no_grad():
            self.tracks = [
                network.track(clip.mel[None], fold)[0] for clip, fold in zip(self.clips, self.folds, strict=True)
            ]
            self.held_out_tracks = [network.track(clip.mel[None])[0] for clip in self.held_out]
        residuals = [
            torch.cat([code[:, :e] - track[:, :e], code[:, e:]], dim=1)
            for code, track in zip(self.codes, self.tracks, strict=True)
        ]
        self.pasts = [histories(residual[None], self.config.network.history_frames)[0] for residual in residuals]
        if anew:
            flows = network.flows
            weights = autoregression(residuals, self.pasts, self.config.history_noise)
            flows.expression.autoregression.copy_(weights[:, :e])
            flows.pose.autoregression.copy_(weights[:, e:])
            chosen = self._trusted_frames()
            residual, past = torch.cat(residuals)[chosen], torch.cat(self.pasts)[chosen]
            innovation = residual - (past * weights).sum(dim=1)
            blind = residual.std(dim=0) / innovation.std(dim=0)
            for flow, part in ((flows.expression, slice(e)), (flows.pose, slice(e, None))):
                flow.flow.whiten(innovation[:, part])
                flow.blind_deviation.copy_(blind[part])
            self.flow_ema.module.load_state_dict(flows.state_dict())

    def _trusted_frames(self) -> Tensor:
        """Numbers (N,) of frames of all clips in a row, each clip's as often as it is trusted."""
        weights = torch.cat([torch.full((clip.frames,), clip.trust) for clip in self.clips])
        generator = torch.Generator().manual_seed(self.config.seed)
        return torch.multinomial(weights, len(weights), replacement=True, generator=generator)

    def flow_step(self, rate: float) -> dict[str, Tensor]:
        """Lower the negative log-likelihood of windows, the past now and then hidden or noisy."""
        config, flows = self.config, self.network.flows.train()
        margin = flows.reach
        windows = Windows.draw(self.lengths, self.weights, batch=config.flow_batch, frames=config.flow_frames)
        past = windows.cut(self.pasts)
        past = past + config.history_noise * torch.randn_like(past)
        known = (torch.rand(*past.shape[:2], 1) >= config.history_dropout).float()
        inside = windows.inside(self.lengths)
        sound = windows.cut(self.tracks, margin=margin)
        expression, pose = flows.nll(sound, windows.cut(self.codes), past, known, margin=margin)
        nll_expression, nll_pose = ((part * inside).sum() / inside.sum() for part in (expression, pose))
        _descend(self.flow_optimizer, nll_expression + nll_pose, rate, flows)
        self.flow_ema.update()
        return {"nll_expression": nll_expression.detach(), "nll_pose": nll_pose.detach()}

    def held_out_nll(self, flows: Flows) -> dict[str, float]:
        """The mean NLL a frame of held-out clips, in nats: expression, pose, and both."""
        expression, pose = flow_nll(flows, self.held_out_tracks, self.held_out_codes)
        return {"held_out_nll": expression + pose, "held_out_nll_expression": expression, "held_out_nll_pose": pose}

    def step(self, progress: float) -> dict[str, Tensor]:
        """One step of the stage that `progress` 0..1 of the run lies in: its losses ()."""
        share = self.config.regressor_steps / self.steps
        if self.stage.number == 0 and progress >= share:
            self.stage.number = 1
            self.begin_flows(anew=True)
        if self.stage.number == 0:
            return self.regressor_step(annealed(progress / share))
        return self.flow_step(annealed((progress - share) / (1 - share)))

    def train(self, run: Run) -> None:
        """Run both stages, from wherever the run stands."""
        if self.stage.number == 1:
            self.begin_flows(anew=False)
        for step, progress in run.steps():
            run.log(step, **self.step(progress))
            if self.stage.number == 1 and (step + 1) % self.config.evaluate_every == 0:
                averaged = self.flow_ema.module
                figures = self.held_out_nll(averaged)
                self.best.offer(averaged, figures["held_out_nll"], step)
                run.record(step, **figures)
                log.info("held out", step=step, **figures)
                if self.best.misses >= self.config.patience:
                    run.save()
                    return


def autoregression(residuals: Sequence[Tensor], pasts: Sequence[Tensor], noise: float) -> Tensor:
    """Weights (H, D) of the last H frames, by least squares on residuals (T, D) and pasts (T, H, D).

    Noise of that deviation on the past is a ridge of its variance; it keeps the recursion stable.
    """
    past, residual = torch.cat(list(pasts)).permute(2, 0, 1), torch.cat(list(residuals)).T
    normal = past.transpose(1, 2) @ past + len(residual[0]) * (noise**2 + 1e-6) * torch.eye(past.shape[2])
    solution: Tensor = torch.linalg.solve(normal, past.transpose(1, 2) @ residual[..., None])
    return solution[..., 0].T


def annealed(progress: float) -> float:
    """The share of the learning rate at `progress` 0..1 of a stage: a short warm-up, then a cosine to 0."""
    return min(1.0, 0.05 + 20 * progress) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def train(config: AudioConfig, *, data: Sequence[Path], out: Path, minutes: float | None = None) -> None:
    """Train on the folders `data` and release `audio-flow` into `out`; an interrupted run in `out` goes on."""
    clips = read_clips(data, "train", at_most=config.clips_at_most)
    held_out = read_clips(data, "val", at_most=config.clips_at_most)
    trainer = Trainer(config, clips, held_out)
    run = Run(out, config, trainer.state, steps=trainer.steps, minutes=minutes)
    trainer.train(run)
    network = trainer.network
    network.flows.load_state_dict((trainer.best.flows if trainer.best.step else trainer.flow_ema.module).state_dict())
    network.eval()
    fit_sampling(network, trainer.clips, trainer.folds)
    sources = sorted(
        {item.repo for folder in data for item in read_corpus(folder, split="train", kind="clip") if item.audio}
    )
    figures = release(run, network, config, clips=clips, held_out=held_out, sources=sources)
    log.info("released", **figures)


def _adam(module: nn.Module, rate: float, weight_decay: float) -> torch.optim.AdamW:
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    free = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW([{**group, "rate": rate} for group in groups], lr=rate)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, module: nn.Module) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * rate
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(module.parameters(), LARGEST_GRADIENT)
    optimizer.step()
