"""From a trained network to released weights: how strongly to sample, the figures, the file and its card."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from model.audio.clip import EXPRESSION_SMOOTHING, SpeechClip, smoothed
from model.audio.config import AudioConfig
from model.audio.hearing import sound_track
from model.audio.network import NAME, SpeechNetwork
from model.audio.sampling import sample_codes
from model.audio.speech_to_motion import SpeechToMotion
from model.data.corpus import spread
from model.evaluation.audio.closures import closure_figures
from model.evaluation.audio.evaluate import TEMPERATURE, Figures, evaluate
from model.evaluation.audio.synchrony import opening_gradient
from model.morphable import MorphableModel
from model.morphable.basis import MOTION, MOTION_FPS, MOTION_SPACE
from model.morphable.controls import Controls
from model.training import Run
from model.weights.card import Card

LIP_NOISE = 0.5
LARGEST_ARTICULATION, LARGEST_SWAY = 2.5, 2.0
FITTED_CLIPS = 60  # of as many people, their longest
CODE_ANGLES = slice(0, 3)  # in a pose code


@torch.no_grad()
def fit_sampling(network: SpeechNetwork, clips: Sequence[SpeechClip], folds: Sequence[int]) -> None:
    """Choose how strongly expression is sampled, on training clips as strangers' (cross-fitted) regressors see them.

    A regression from little data explains a fraction of lip motion. What it leaves is mostly motion that the sound did
    determine, in a way not learned: as noise it would move the lips against the sound. So the noise is turned down by
    LIP_NOISE and the expected motion turned up until the mouth's opening varies as much as people's (the global
    variance of Toda and Tokuda, "A speech parameter generation algorithm considering global variance", 2007).
    """
    gradient = network.code.decoder @ opening_gradient(MorphableModel.load())
    e = network.config.components
    network.sampling.copy_(torch.tensor([1.0, LIP_NOISE, 1.0]))
    expected, drawn, real = [], [], []
    swayed, real_pose = [], []
    longest: dict[str, tuple[SpeechClip, int]] = {}
    for clip, fold in sorted(zip(clips, folds, strict=True), key=lambda pair: -pair[0].frames):
        longest.setdefault(clip.person, (clip, fold))
    chosen = spread(sorted(longest.values(), key=lambda pair: -pair[0].frames)[: 2 * FITTED_CLIPS], FITTED_CLIPS)
    for number, (clip, fold) in enumerate(chosen):
        track = sound_track(network, clip.mel, fold)
        code, pose = sample_codes(network, track, seed=number, temperature=TEMPERATURE)
        mean = smoothed(track[:, :e], EXPRESSION_SMOOTHING)
        expected.append((mean @ gradient).var())
        drawn.append(((code[0] - mean) @ gradient).var())
        real.append((network.code.expression(clip) @ gradient).var())
        swayed.append(pose[0, :, CODE_ANGLES].var(dim=0).mean())
        real_pose.append(network.code.pose(clip)[:, CODE_ANGLES].var(dim=0).mean())
    missing = torch.stack(real).mean() - torch.stack(drawn).mean()
    articulation = (missing.clamp(min=0) / torch.stack(expected).mean()).sqrt().clamp(1.0, LARGEST_ARTICULATION)
    network.sampling[0] = articulation
    # heads turn slowly and far, which many small steps, each a little off, lose; the temperature keeps its share
    sway = TEMPERATURE * (torch.stack(real_pose).mean() / torch.stack(swayed).mean()).sqrt()
    network.sampling[2] = sway.clamp(1.0, LARGEST_SWAY)


def release(
    run: Run,
    network: SpeechNetwork,
    config: AudioConfig,
    *,
    clips: Sequence[SpeechClip],
    held_out: Sequence[SpeechClip],
    sources: Sequence[str],
) -> dict[str, Any]:
    """Write the network and its card into the run's folder; returns the card's figures."""
    closures = closure_figures(SpeechToMotion(network, Controls.load()))
    figures = rounded({**evaluate(network, held_out), "closures": closures})
    trusted = sum(clip.frames * clip.trust for clip in clips) / MOTION_FPS / 60
    card = Card(
        kind="audio",
        motion_space=MOTION_SPACE,
        dimension=MOTION,
        intended_use="motion of a talking head from speech, for research and demonstration",
        data=list(sources),
        recipe=f"{len(clips)} clips with sound, {trusted:.1f} minutes weighted by how well picture and sound agree; "
        "cross-fitted convolutional regressors of expression from log-mel, then conditional normalizing flows of the "
        "residual and of head pose; blinks as a renewal process",
        figures=figures,
        config=config.model_dump(),
    )
    run.release(NAME, network, card, dtype=torch.float32)
    return figures


def rounded(figures: Figures) -> dict[str, Any]:
    """Figures to four places, as a card holds them."""
    return {
        name: rounded(value) if isinstance(value, Mapping) else round(value, 4) if isinstance(value, float) else value
        for name, value in figures.items()
    }
