"""Train speech-to-motion: regressors of the lips first, then the flows of what they leave open."""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
import torch
from torch import Tensor, nn

from model.audio.clip import SpeechClip, balanced
from model.audio.config import AudioConfig
from model.audio.motion_code import sways
from model.audio.network import Flows, SpeechNetwork, about, begun, histories
from model.audio.regressor import RegressorEnsemble
from model.data.speech_clips import in_sync, read_clips, sources, trusted
from model.data.speech_windows import Windows
from model.evaluation.audio.nll import clip_nll, over_frames
from model.evaluation.audio.sentences import spelled_sentences
from model.evaluation.audio.synchrony import opening_gradient, width_gradient
from model.evaluation.audio.synthesiser import synthesise
from model.morphable import MorphableModel
from model.training import Ema, Run, Stateful
from model.training.audio.closures import LANGUAGES, train_closures
from model.training.audio.lessons import Lessons
from model.training.audio.release import fit_sampling, release
from model.training.descent import adam, annealed, descend

log = structlog.get_logger(__name__)

MOST_MARGIN = 10  # frames around a window that regressors hear; further ones change little and cost as much
MEAN_SHARE = 0.1  # of a window's mean error in the loss
SMALLEST_NORM = 1e-3  # of a measure's motion in a window; lips that rest agree with nothing


class Best:
    """The weights of a network with the least held-out error so far."""

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network)
        self.error = math.inf
        self.step = 0
        self.misses = 0

    def offer(self, network: nn.Module, error: float, step: int) -> None:
        """Keep these when they are better; else count a miss."""
        if error < self.error:
            self.network.load_state_dict(network.state_dict())
            self.error, self.step, self.misses = error, step, 0
        else:
            self.misses += 1

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"network": self.network.state_dict(), "error": self.error, "step": self.step, "misses": self.misses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's state."""
        self.network.load_state_dict(state["network"])
        self.error, self.step, self.misses = state["error"], state["step"], state["misses"]


class Stage:
    """Which part is in training: 0 regressors, 1 flows."""

    def __init__(self) -> None:
        self.number = 0

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's state."""
        self.number = state["number"]


class Trainer:
    """Training data, networks and one step of each stage."""

    def __init__(
        self,
        config: AudioConfig,
        clips: Sequence[SpeechClip],
        held_out: Sequence[SpeechClip],
        sentences: Mapping[str, str] | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.steps = config.regressor_steps + config.flow_steps
        self.clips = trusted(clips)
        self.held_out = in_sync(held_out)
        self.network = SpeechNetwork(config.network)
        model = MorphableModel.load()
        self.network.code.fit(self.clips, model)
        # what open lids are is told by the clip itself: one of a second says little
        long = [clip for clip in clips if sways(clip)] or list(clips)
        self.network.blinks.fit([clip.lids.numpy() for clip in long])
        self.lengths = [clip.frames for clip in self.clips]
        self.weights = balanced(self.clips)
        self.swaying = torch.tensor([float(sways(clip)) for clip in self.clips])
        people = sorted({clip.person for clip in self.clips})
        fold = {person: number % config.network.members for number, person in enumerate(people)}
        self.folds = [fold[clip.person] for clip in self.clips]
        code = self.network.code
        self.codes = [code.both(clip) for clip in self.clips]
        self.held_out_codes = [code.both(clip) for clip in self.held_out]
        self.lessons = Lessons.of(self.clips, self.codes, self.folds, sentences or {}, config)
        self.lips = code.decoder @ torch.stack([opening_gradient(model), width_gradient(model)], dim=1)
        self.regressor_optimizer = adam(self.network.regressors, config.regressor_rate, config.weight_decay)
        self.flow_optimizer = adam(self.network.flows, config.flow_rate, config.weight_decay)
        self.regressor_ema = Ema(self.network.regressors, config.ema_half_life_steps)
        self.flow_ema = Ema(self.network.flows, config.ema_half_life_steps)
        self.best_regressors = Best(self.network.regressors)
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
            "best_regressors": self.best_regressors,
            "best": self.best,
            "stage": self.stage,
        }

    def regressor_step(self, rate: float) -> dict[str, Tensor]:
        """Let every member learn from a batch what is of people it is shown."""
        config, ensemble = self.config, self.network.regressors.train()
        margin = min(ensemble.reach, MOST_MARGIN)
        windows, mel, target, inside = self.lessons.batch(config, margin)
        folds = torch.tensor([self.lessons.folds[number] for number in windows.clips])
        losses = []
        for number, member in enumerate(ensemble.members):
            shown = (folds != number).float()
            error, disagreement = lip_errors(
                member(mel)[:, margin : margin + windows.frames],
                target,
                inside,
                importance=self.network.code.importance,
                lips=self.lips,
            )
            losses.append((torch.stack([error, disagreement]) * shown).sum(dim=1) / shown.sum().clamp(min=1))
        error, disagreement = torch.stack(losses).mean(dim=0)
        descend(
            self.regressor_optimizer,
            len(losses) * (error + config.agreement * disagreement),
            rate,
            self.network.regressors,
        )
        self.regressor_ema.update()
        return {"regression": error.detach(), "disagreement": disagreement.detach()}

    @torch.no_grad()
    def strangers(self, regressors: RegressorEnsemble) -> dict[str, float]:
        """How well members do on the people they were not shown: error and correlation of the opening, balanced."""
        e = self.config.network.components
        importance, opening = self.network.code.importance, self.lips[:, 0]
        found = []
        for clip, code, fold in zip(self.clips, self.codes, self.folds, strict=True):
            made, true = regressors(clip.mel[None], fold)[0], code[:, :e]
            error = (made - true) - (made - true).mean(dim=0)
            agreement = torch.corrcoef(torch.stack([made @ opening, true @ opening]))[0, 1].nan_to_num()
            found.append(torch.stack([(error.square() @ importance / e).mean(), agreement]))
        error, agreement = (torch.stack(found) * (self.weights / self.weights.sum())[:, None]).sum(dim=0).tolist()
        return {"strangers_error": error, "strangers_opening_correlation": agreement}

    def begin_flows(self, *, anew: bool) -> None:
        """Fix the regressors at their best average, predict every clip with them; let new flows start as Gaussians."""
        network, e = self.network, self.config.network.components
        found = self.best_regressors.network if math.isfinite(self.best_regressors.error) else self.regressor_ema.module
        network.regressors.load_state_dict(found.state_dict())
        network.regressors.eval()
        with torch.no_grad():
            self.tracks = [
                network.track(clip.mel[None], fold)[0] for clip, fold in zip(self.clips, self.folds, strict=True)
            ]
            self.held_out_tracks = [network.track(clip.mel[None])[0] for clip in self.held_out]
        # What a short clip says moves its mean: the residual, not the motion, is what has none.
        self.codes = [about(code, track, e) for code, track in zip(self.codes, self.tracks, strict=True)]
        residuals = [
            torch.cat([code[:, :e] - track[:, :e], code[:, e:]], dim=1)
            for code, track in zip(self.codes, self.tracks, strict=True)
        ]
        self.pasts = [histories(residual[None], self.config.network.history_frames)[0] for residual in residuals]
        if anew:
            flows = network.flows
            for flow, part, weights in (
                (flows.expression, slice(e), self.weights),
                (flows.pose, slice(e, None), self.weights * self.swaying),
            ):
                chosen = self._drawn_frames(weights if weights.any() else self.weights)
                residual, past = torch.cat(residuals)[chosen, part], torch.cat(self.pasts)[chosen, :, part]
                recursion = autoregression(residual, past, self.config.history_noise)
                innovation = residual - (past * recursion).sum(dim=1)
                flow.autoregression.copy_(recursion)
                flow.flow.whiten(innovation)
                flow.blind_deviation.copy_(residual.std(dim=0) / innovation.std(dim=0))
            self.flow_ema.module.load_state_dict(flows.state_dict())

    def _drawn_frames(self, weights: Tensor) -> Tensor:
        """Numbers (N,) of frames of all clips in a row, each clip's as often as its weight says; with a past, all."""
        shares = torch.cat(
            [
                share / clip.frames * begun(clip.frames, self.config.network.history_frames)[:, 0]
                for share, clip in zip(weights, self.clips, strict=True)
            ]
        )
        generator = torch.Generator().manual_seed(self.config.seed)
        return torch.multinomial(shares, len(shares), replacement=True, generator=generator)

    def flow_step(self, rate: float) -> dict[str, Tensor]:
        """Lower the negative log-likelihood of windows, the past now and then hidden or noisy.

        Head pose is learned from clips that last long enough to show it.
        """
        config, flows = self.config, self.network.flows.train()
        margin = flows.reach
        windows = Windows.draw(self.lengths, self.weights, batch=config.flow_batch, frames=config.flow_frames)
        past = windows.cut(self.pasts)
        past = past + config.history_noise * torch.randn_like(past)
        known = (torch.rand(*past.shape[:2], 1) >= config.history_dropout).float()
        known = known * (windows.places >= config.network.history_frames)[..., None]
        inside = windows.inside(self.lengths)
        swaying = inside * (self.swaying[windows.clips][:, None] if self.swaying.any() else 1)
        sound = windows.cut(self.tracks, margin=margin)
        expression, pose = flows.nll(sound, windows.cut(self.codes), past, known, margin=margin)
        nll_expression, nll_pose = (
            (part * counted).sum() / counted.sum().clamp(min=1)
            for part, counted in ((expression, inside), (pose, swaying))
        )
        descend(self.flow_optimizer, nll_expression + nll_pose, rate, flows)
        self.flow_ema.update()
        return {"nll_expression": nll_expression.detach(), "nll_pose": nll_pose.detach()}

    def held_out_nll(self, flows: Flows) -> dict[str, float]:
        """The mean NLL a frame of held-out clips, in nats: expression, pose of those that show it, and both."""
        of_clips = clip_nll(flows, self.held_out_tracks, self.held_out_codes)
        frames = torch.tensor([clip.frames for clip in self.held_out])
        swaying = frames * torch.tensor([sways(clip) for clip in self.held_out])
        expression = over_frames(of_clips[:, 0], frames)
        pose = over_frames(of_clips[:, 1], swaying if swaying.any() else frames)
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
            if self.stage.number == 0 and (step + 1) % self.config.evaluate_regressors_every == 0:
                figures = self.strangers(self.regressor_ema.module)
                self.best_regressors.offer(self.regressor_ema.module, figures["strangers_error"], step)
                run.record(step, **figures)
                log.info("strangers", step=step, **figures)
            if self.stage.number == 1 and (step + 1) % self.config.evaluate_every == 0:
                averaged = self.flow_ema.module
                figures = self.held_out_nll(averaged)
                self.best.offer(averaged, figures["held_out_nll"], step)
                run.record(step, **figures)
                log.info("held out", step=step, **figures)
                if self.best.misses >= self.config.patience:
                    run.save()
                    return


def lip_errors(
    made: Tensor, true: Tensor, inside: Tensor, *, importance: Tensor, lips: Tensor
) -> tuple[Tensor, Tensor]:
    """Of codes (B, T, E) the mean square error, and the disagreement of what `lips` (E, L) measures; both (B,).

    Of the mean over a window MEAN_SHARE counts: a code is a difference from its clip's mean, and that of a short clip
    hangs on what is said. Disagreement is 1 less the correlation, the mean over measures.
    """
    frames = inside.sum(dim=1).clamp(min=1)[:, None, None]
    known = inside[..., None]
    error = (made - true) * known
    mean = error.sum(dim=1, keepdim=True) / frames
    square = ((error - mean) * known).square() + MEAN_SHARE * mean.square() * known
    a, b = (
        (moved - moved.sum(dim=1, keepdim=True) / frames) * known
        for moved in ((made @ lips) * known, (true @ lips) * known)
    )
    correlation = (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=SMALLEST_NORM)
    return (square @ importance).sum(dim=1) / len(importance) / frames[:, 0, 0], 1 - correlation.mean(dim=1)


def autoregression(residual: Tensor, past: Tensor, noise: float) -> Tensor:
    """Weights (H, D) of the last H frames, by least squares on residuals (N, D) and their pasts (N, H, D).

    Noise of that deviation on the past is a ridge of its variance; it keeps the recursion stable.
    """
    before, after = past.permute(2, 0, 1), residual.T
    normal = before.transpose(1, 2) @ before
    normal = normal + len(residual) * (noise**2 + 1e-6) * torch.eye(before.shape[2])
    solution: Tensor = torch.linalg.solve(normal, before.transpose(1, 2) @ after[..., None])
    return solution[..., 0].T


def train(config: AudioConfig, *, data: Sequence[Path], out: Path, minutes: float | None = None) -> None:
    """Train on the folders `data` and release `audio-flow` into `out`; an interrupted run in `out` goes on.

    Raises DataError: eSpeak NG is not installed and the configuration has made speech; or there is no clip with sound.
    """
    if config.made_speeches:
        for language in LANGUAGES:  # told now, not after an hour, where eSpeak NG is missing or lacks one
            synthesise("a", voice=language)
    clips = read_clips(data, "train", at_most=config.clips_at_most)
    held_out = read_clips(data, "val", at_most=config.clips_at_most)
    sentences = spelled_sentences(data, "train")
    trainer = Trainer(config, clips, held_out, sentences)
    run = Run(out, config, trainer.state, steps=trainer.steps, minutes=minutes)
    trainer.train(run)
    network = trainer.network
    best = trainer.best.network if math.isfinite(trainer.best.error) else trainer.flow_ema.module
    network.flows.load_state_dict(best.state_dict())
    network.eval()
    if config.made_speeches:
        train_closures(network, trainer.clips, sentences, config)
    fit_sampling(network, trainer.clips, trainer.folds)
    figures = release(run, network, config, clips=clips, held_out=held_out, sources=sources(data))
    log.info("released", **figures)
