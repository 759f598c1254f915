"""Draw motion codes from a speech network, frame by frame; a long speech in pieces, equal to one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from model.audio.batches import cut
from model.audio.features import SUBFRAMES
from model.audio.flow import State
from model.audio.motion_code import POSE
from model.audio.network import ResidualFlow, SpeechNetwork

BLOCK_FRAMES = 1500  # video frames whose sound is encoded at once


@torch.no_grad()
def sound_track(network: SpeechNetwork, mel: Tensor, fold: int | None = None) -> Tensor:
    """Return the sound track (T, S) of mel (4 T, MELS), a minute at a time with the neighbourhood that it needs."""
    frames, margin = len(mel) // SUBFRAMES, network.regressors.reach
    pieces = []
    for first in range(0, frames, BLOCK_FRAMES):
        length = min(BLOCK_FRAMES, frames - first)
        before, after = min(margin, first), min(margin, frames - first - length)
        piece = cut(mel, SUBFRAMES * (first - before), SUBFRAMES * (before + length + after))
        pieces.append(network.track(piece[None], fold)[0, before : before + length])
    return torch.cat(pieces)


@torch.no_grad()
def sample_residuals(flow: ResidualFlow, sound: Tensor, noise: Tensor, first: Tensor) -> Tensor:
    """Return residuals (N, T, D) of N takes from noise (N, T, D), all hearing `sound` (T, C).

    The past before the first frame is the residual `first` (N, D), held.
    """
    past = first[:, None].repeat(1, flow.history, 1)
    state: State | None = None
    frames = []
    for t in range(len(sound)):
        frame, state = flow.step(noise[:, t], sound[t].expand(len(noise), -1), past, state)
        frames.append(frame)
        past = torch.cat([frame[:, None], past[:, :-1]], dim=1)
    return torch.stack(frames, dim=1)


@torch.no_grad()
def sample_codes(
    network: SpeechNetwork, track: Tensor, *, seed: int, temperature: float, takes: int = 1, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return expression codes (N, T, E) and pose codes (N, T, 6) of N takes of a sound track (T, S).

    `start` (E,) is the expression code before the first frame, the expected one when not given.
    The same seed gives the same takes. Expression's noise has its own, calibrated share of the temperature.
    """
    flows, e, frames = network.flows, network.config.components, len(track)
    articulation, lip_noise = network.sampling.tolist()
    generator = torch.Generator().manual_seed(seed)
    noise = temperature * torch.randn(takes, frames, e + POSE, generator=generator)
    expected = articulation * track[:, :e]
    first = torch.zeros(e) if start is None else start - expected[0]
    expression = sample_residuals(
        flows.expression, flows.expression_sound(track[None])[0], lip_noise * noise[..., :e], first.expand(takes, -1)
    )
    pose = sample_residuals(flows.pose, flows.pose_sound(track[None])[0], noise[..., e:], torch.zeros(takes, POSE))
    return expected + expression, pose
